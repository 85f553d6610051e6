/** Writes text to the terminal as it comes in pieces, indented and wrapped at words. */
const columnsMax = 96;

export class ProseWriter {
  #margin;
  #width;
  #column = 0;
  #word = '';
  #written = false;

  /** @param {string} margin what every line begins with */
  constructor(margin) {
    this.#margin = margin;
    this.#width = Math.min(process.stdout.columns || columnsMax, columnsMax) - margin.length;
  }

  get isEmpty() {
    return !this.#written;
  }

  /** @param {string} text */
  write(text) {
    if (this.isEmpty) process.stdout.write(this.#margin);
    this.#written = true;
    for (const part of text.split(/(\s)/)) {
      if (part === '\n') this.#newLine();
      else if (/^\s$/.test(part)) this.#space();
      else this.#word += part;
    }
  }

  /** What was written is void: the answer begins again. */
  restart() {
    if (this.isEmpty) return;
    this.#newLine();
    this.write('(again, from the start)\n');
  }

  end() {
    if (this.isEmpty) return;
    this.#flushWord();
    process.stdout.write('\n');
  }

  #space() {
    this.#flushWord();
    if (this.#column === 0 || this.#column >= this.#width) return;
    process.stdout.write(' ');
    this.#column += 1;
  }

  #newLine() {
    this.#flushWord();
    process.stdout.write(`\n${this.#margin}`);
    this.#column = 0;
  }

  #flushWord() {
    if (this.#word === '') return;
    if (this.#column > 0 && this.#column + this.#word.length > this.#width) {
      process.stdout.write(`\n${this.#margin}`);
      this.#column = 0;
    }
    process.stdout.write(this.#word);
    this.#column += this.#word.length;
    this.#word = '';
  }
}

/** Writes text to the terminal as it comes in pieces, indented and wrapped at words. */
const columnsMax = 96;

export class ProseWriter {
  #margin;
  #width;
  #column = 0;
  #word = '';
  #spaces = 0;
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
    this.#spaces += 1;
  }

  #newLine() {
    this.#flushWord();
    process.stdout.write(`\n${this.#margin}`);
    this.#column = 0;
    this.#spaces = 0;
  }

  /** Spaces are written with the word after them: a wrapped line has none at its end. */
  #flushWord() {
    if (this.#word === '') return;
    const text = ' '.repeat(this.#spaces) + this.#word;
    this.#spaces = 0;
    if (this.#column > 0 && this.#column + text.length > this.#width) {
      process.stdout.write(`\n${this.#margin}${this.#word}`);
      this.#column = this.#word.length;
    } else {
      process.stdout.write(text);
      this.#column += text.length;
    }
    this.#word = '';
  }
}

import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';

/** A script of `tools/` that obeys lines, answers each with a line, and ends with its input. */
export class ToolProcess {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;

  constructor(
    private readonly script: string,
    args: readonly string[] = [],
  ) {
    const file = join(import.meta.dirname, '../../../tools', script);
    this.#child = spawn(process.execPath, [file, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** @returns what it answers */
  async ask(line: string): Promise<string> {
    this.#child.stdin.write(`${line}\n`);
    return this.line();
  }

  /** What it says next. */
  async line(): Promise<string> {
    const line = await this.#lines.next();
    if (line.done === true) throw new Error(`${this.script} has ended`);
    return line.value;
  }

  async end(): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.stdin.end();
    await ended;
  }
}

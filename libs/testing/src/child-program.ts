import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../../..');
/** Of what a program said last, for the error of a spec that waits for one that is gone. */
const saidCharsMax = 4_000;

/** A TypeScript program as a real process, so that it can be killed in the middle of anything. */
export class ChildProgram {
  #said = '';
  readonly #listeners = new Set<() => void>();

  private constructor(private readonly child: ChildProcess) {
    const hear = (text: string): void => {
      this.#said = (this.#said + text).slice(-saidCharsMax);
      for (const listener of this.#listeners) listener();
    };
    // It may be gone when it is told something.
    child.stdin?.on('error', () => undefined);
    for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', hear);
  }

  static start(
    file: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv = process.env,
  ): ChildProgram {
    const hooks = `--import=${join(root, 'tools/source-hooks.mjs')}`;
    const node = ['--conditions=millrace:source', '--no-warnings', hooks, file, ...args];
    const stdio = ['pipe', 'pipe', 'pipe'] as const;
    return new ChildProgram(spawn(process.execPath, node, { env, stdio: [...stdio] }));
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  /** Of what it said the end. */
  get said(): string {
    return this.#said;
  }

  get isGone(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** Writes a line to its standard input. */
  tell(line: string): void {
    this.child.stdin?.write(`${line}\n`);
  }

  /** `SIGSTOP` and its like; for an end see {@link kill}. */
  signal(name: NodeJS.Signals): void {
    this.child.kill(name);
  }

  /** Resolves when it has said a text; never, when it has not. */
  async hears(text: string): Promise<void> {
    while (!this.#said.includes(text)) {
      await new Promise<void>((resolve) => {
        const listener = (): void => {
          this.#listeners.delete(listener);
          resolve();
        };
        this.#listeners.add(listener);
      });
    }
  }

  /** Resolves when it is gone, by itself or not. */
  async gone(): Promise<void> {
    if (!this.isGone) await once(this.child, 'exit');
  }

  /** Ends it without a warning, and waits until it is gone. */
  async kill(): Promise<void> {
    if (this.isGone) return;
    const gone = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await gone;
  }

  /** Waits until it is gone. @returns its exit status, or the signal that ended it */
  async ended(): Promise<number | NodeJS.Signals | null> {
    if (!this.isGone) await once(this.child, 'exit');
    return this.child.exitCode ?? this.child.signalCode;
  }

  /**
   * Waits for something that this program has to do.
   *
   * @throws what it said last, if it ends before that, or does not do it in the time given.
   */
  async until(done: Promise<unknown>, withinMs = 45_000): Promise<void> {
    const stop = new AbortController();
    const ended = this.isGone
      ? Promise.resolve('is gone')
      : once(this.child, 'exit', stop).then(() => 'ended');
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<string>((resolve) => {
      timer = setTimeout(() => resolve(`took more than ${withinMs} ms`), withinMs);
    });
    try {
      const fault = await Promise.race([done.then(() => null), ended, late]);
      if (fault !== null) throw new Error(`the program ${fault}; it said: ${this.#said}`);
    } finally {
      clearTimeout(timer);
      ended.catch(() => undefined);
      stop.abort();
    }
  }
}

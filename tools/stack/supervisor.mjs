/**
 * Keeps processes up: one that ends without being told to is started again, its last log lines are
 * shown, and when that does not help the stack gives up.
 *
 * I1. At most `restartsMax` restarts of one process a minute; then `onLost` is called, once.
 * I2. After `stop` was called nothing is started any more.
 */
import { setTimeout as delay } from 'node:timers/promises';

import { stopChild } from './child.mjs';
import { lastLogLines } from './log-lines.mjs';
import { StackError } from './stack-error.mjs';
import { until } from './wait.mjs';

const restartsMax = 5;
const restartWindowMs = 60_000;
/** The first restart is at once, the others wait: what broke may need a moment. */
const restartPauseMs = 500;
const readyTimeoutMs = 60_000;

/**
 * @typedef {import('./child.mjs').Child} Child
 * @typedef {object} Unit
 * @property {string} name
 * @property {(born: (child: Child) => void) => Promise<Child>} start calls `born` with the process
 *   when it exists, and resolves when it serves
 * @property {NodeJS.Signals} stopSignal
 * @property {number} stopGraceMs
 */

export class Supervisor {
  /** @type {Map<string, Supervised>} */
  #all = new Map();
  #closed = false;
  #report;
  #onLost;

  /**
   * @param {{ report: (line: string) => void, onLost: (error: StackError) => void }} options
   */
  constructor({ report, onLost }) {
    this.#report = report;
    this.#onLost = onLost;
  }

  /**
   * @param {Unit} unit
   * @returns {Promise<void>} when it serves; a failure of this first start is the caller's
   */
  async add(unit) {
    if (this.#closed) throw new StackError(`${unit.name} is not started: the stack is stopping.`);
    const supervised = new Supervised(unit, this.#report, this.#onLost);
    this.#all.set(unit.name, supervised);
    await supervised.start();
  }

  /** @param {string} name @returns {Supervised} */
  get(name) {
    const supervised = this.#all.get(name);
    if (supervised === undefined) throw new StackError(`Nothing called ${name} is in this stack.`);
    return supervised;
  }

  /** @returns {string[]} */
  names() {
    return [...this.#all.keys()];
  }

  /** Starts and restarts nothing from now on. */
  letGo() {
    this.#closed = true;
    for (const supervised of this.#all.values()) supervised.letGo();
  }

  /** @param {readonly string[]} names what is not there is stopped already */
  async stop(names) {
    await Promise.all(names.map((name) => this.#all.get(name)?.stop()));
  }
}

class Supervised {
  /** @type {Child | undefined} */
  #child;
  /** @type {number[]} */
  #restarts = [];
  #wanted = true;
  #ready = false;
  /** @type {Promise<void>} */
  #starting = Promise.resolve();

  /**
   * @param {Unit} unit
   * @param {(line: string) => void} report
   * @param {(error: StackError) => void} onLost
   */
  constructor(unit, report, onLost) {
    this.unit = unit;
    this.report = report;
    this.onLost = onLost;
  }

  /** @returns {number | undefined} */
  get pid() {
    return this.#child?.isRunning() ? this.#child.pid : undefined;
  }

  async start() {
    this.#wanted = true;
    this.#starting = this.#startOnce();
    await this.#starting;
  }

  /** @param {NodeJS.Signals} signal */
  kill(signal) {
    this.#ready = false;
    this.#child?.signal(signal);
  }

  /** @returns {Promise<void>} when a process of this name serves */
  async ready() {
    await until(`${this.unit.name} is ready`, readyTimeoutMs, () =>
      this.#ready && this.pid !== undefined ? true : undefined,
    );
  }

  letGo() {
    this.#wanted = false;
  }

  async stop() {
    this.#wanted = false;
    this.#ready = false;
    await this.#endChild();
    // It may have been on its way up: then there is a process by now.
    await this.#starting.catch(() => undefined);
    await this.#endChild();
  }

  async #endChild() {
    if (this.#child === undefined) return;
    await stopChild(this.#child, {
      signal: this.unit.stopSignal,
      graceMs: this.unit.stopGraceMs,
    });
  }

  async #startOnce() {
    const child = await this.unit.start((born) => {
      this.#child = born;
    });
    this.#child = child;
    this.#ready = true;
    void child.exited.then((exit) => this.#ended(child, exit));
  }

  /**
   * @param {Child} child
   * @param {import('./child.mjs').Exit} exit
   */
  async #ended(child, { code, signal }) {
    this.#ready = false;
    if (!this.#wanted) return;
    const how = signal === null ? `with status ${code}` : `by ${signal}`;
    this.report(`${child.name} (pid ${child.pid}) ended ${how}. The end of ${child.logFile}:`);
    for (const line of lastLogLines(child.logFile, child.logStart)) this.report(`    ${line}`);
    await this.#restart(child);
  }

  /** @param {Child} child */
  async #restart(child) {
    while (this.#wanted) {
      const now = performance.now();
      this.#restarts = this.#restarts.filter((at) => now - at < restartWindowMs);
      if (this.#restarts.length >= restartsMax) {
        this.#wanted = false;
        const message = `${child.name} ended ${restartsMax + 1} times within a minute.`;
        return this.onLost(new StackError(`${message} Its log is ${child.logFile}.`));
      }
      if (this.#restarts.length > 0) await delay(restartPauseMs * this.#restarts.length);
      this.#restarts.push(now);
      if (!this.#wanted) return;
      try {
        this.#starting = this.#startOnce();
        await this.#starting;
        return this.report(`${child.name} is up again (pid ${this.pid}).`);
      } catch (error) {
        if (!this.#wanted) return;
        this.report(error instanceof Error ? error.message : String(error));
      }
    }
  }
}

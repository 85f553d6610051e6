/** Runs a command of the test run to its end, with everything that it said. */
import { spawn } from 'node:child_process';
import { delimiter, join } from 'node:path';

import { repoRoot } from '../paths.mjs';

/** How long a command may take to end after it was asked to. */
const stopGraceMs = 20_000;
const binFolder = join(repoRoot, 'node_modules', '.bin');

/** @typedef {{ status: number | null, output: string, timedOut: boolean }} ChildResult */

/**
 * @param {readonly string[]} command
 * @param {object} options
 * @param {number} options.timeoutMs a command that hangs fails its stage, not the whole run
 * @param {AbortSignal} options.signal
 * @param {NodeJS.ProcessEnv} [options.env] added to this process's own
 * @param {(line: string) => void} [options.onLine]
 * @returns {Promise<ChildResult>}
 */
export function runChild(command, { timeoutMs, signal, env, onLine }) {
  const [file = '', ...args] =
    process.platform === 'linux' ? ['setpriv', '--pdeathsig', 'TERM', ...command] : command;
  const child = spawn(file, args, {
    cwd: repoRoot,
    // The installed Node, whatever this process was started by.
    env: { ...process.env, PATH: `${binFolder}${delimiter}${process.env['PATH'] ?? ''}`, ...env },
    // A group of its own: a terminal's Ctrl-C reaches it once, through this process.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let timedOut = false;
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (/** @type {string} */ text) => {
      output += text;
      text.split('\n').forEach((line) => onLine?.(line));
    });
  }
  /** @param {NodeJS.Signals} name */
  const kill = (name) => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, name);
    } catch {
      // The group is gone already.
    }
  };
  /** @type {NodeJS.Timeout | undefined} */
  let killTimer;
  const stop = () => {
    kill('SIGTERM');
    killTimer ??= setTimeout(() => kill('SIGKILL'), stopGraceMs);
  };
  const timer = setTimeout(() => {
    timedOut = true;
    stop();
  }, timeoutMs);
  signal.addEventListener('abort', stop, { once: true });
  return new Promise((resolve) => {
    /** @param {number | null} status */
    const end = (status) => {
      clearTimeout(timer);
      clearTimeout(killTimer);
      signal.removeEventListener('abort', stop);
      resolve({ status, output, timedOut });
    };
    child.once('error', (error) => {
      output += error.message;
      end(null);
    });
    child.once('close', end);
  });
}

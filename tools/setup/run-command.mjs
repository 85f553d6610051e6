/** Runs a command to its end: its lines are reported, and it dies with this process. */
import { spawn } from 'node:child_process';

import { StackError } from '../stack/stack-error.mjs';

/** The last lines say why a command failed. */
const logLinesMax = 12;

/**
 * @typedef {object} CommandOptions
 * @property {string} failure what could not be done, said when it fails
 * @property {NodeJS.ProcessEnv} [env]
 * @property {string} [cwd]
 * @property {AbortSignal} [signal]
 * @property {(line: string) => void} [onLine]
 * @property {(line: string) => boolean} [isTelling] lines that are worth showing after a failure
 */

/**
 * @param {readonly string[]} command
 * @param {CommandOptions} options
 * @returns {Promise<void>} rejects with a StackError when its exit status is not 0
 */
export function runCommand(command, { failure, env, cwd, signal, onLine, isTelling }) {
  const [file = '', ...args] =
    process.platform === 'linux' ? ['setpriv', '--pdeathsig', 'TERM', ...command] : command;
  const child = spawn(file, args, { env, cwd, signal, stdio: ['ignore', 'pipe', 'pipe'] });
  /** @type {string[]} */
  const lines = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (/** @type {string} */ text) => {
      for (const line of text.split('\n').filter((each) => each.trim() !== '')) {
        lines.push(line);
        onLine?.(line);
      }
    });
  }
  return new Promise((resolve, reject) => {
    child.once('error', (cause) => reject(new StackError(failure, { cause, log: cause.message })));
    child.once('close', (code) => {
      if (code === 0) return resolve();
      const log = lines.filter(isTelling ?? (() => true)).slice(-logLinesMax).join('\n');
      reject(new StackError(failure, { log }));
    });
  });
}

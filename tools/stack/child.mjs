/**
 * One child process of the local stack: its log file, its pid file, and its end.
 *
 * I1. A child is the leader of its own session, so a terminal's Ctrl-C reaches only the parent,
 *     which then stops things in order.
 * I2. A child does not outlive the parent, not even one that is killed with -9: on Linux the kernel
 *     sends it a signal (`setpriv --pdeathsig`), elsewhere a guard process does (guard.mjs).
 * I3. Output goes straight to the log file: no pipe that fills up or breaks with the parent.
 */
import { spawn } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

import { guard } from './guard.mjs';

/** A log above this size is set aside as `<name>.log.1` when its process starts. */
const logBytesMax = 20 * 1024 * 1024;

/**
 * @typedef {object} ChildSpec
 * @property {string} name
 * @property {string} home the stack's folder: `run/<name>.pid` and `logs/<name>.log` lie there
 * @property {string} command
 * @property {readonly string[]} args
 * @property {NodeJS.ProcessEnv} env
 * @property {string} [cwd]
 * @property {readonly string[]} [wrapper] a command that executes the real one in its place
 * @property {'KILL' | 'QUIT'} [parentDeathSignal]
 *
 * @typedef {{ code: number | null, signal: NodeJS.Signals | null }} Exit
 *
 * @typedef {object} Child
 * @property {string} name
 * @property {number} pid
 * @property {string} logFile
 * @property {number} logStart bytes in the log before this process wrote to it
 * @property {Promise<Exit>} exited
 * @property {() => boolean} isRunning
 * @property {(signal: NodeJS.Signals) => void} signal
 */

/** @param {string} home @param {string} name */
export const logFileOf = (home, name) => join(home, 'logs', `${name}.log`);
/** @param {string} home @param {string} name */
export const pidFileOf = (home, name) => join(home, 'run', `${name}.pid`);

/**
 * @param {ChildSpec} spec
 * @returns {Promise<Child>} as soon as the process exists; rejects when it could not be started
 */
export async function startChild(spec) {
  const logFile = logFileOf(spec.home, spec.name);
  const pidFile = pidFileOf(spec.home, spec.name);
  mkdirSync(dirname(logFile), { recursive: true });
  mkdirSync(dirname(pidFile), { recursive: true });
  const logStart = setAsideLargeLog(logFile);
  const [command = '', ...args] = [
    ...(spec.wrapper ?? []),
    ...(process.platform === 'linux'
      ? ['setpriv', '--pdeathsig', spec.parentDeathSignal ?? 'KILL']
      : []),
    spec.command,
    ...spec.args,
  ];
  const log = openSync(logFile, 'a', 0o600);
  const child = spawn(command, args, {
    cwd: spec.cwd,
    env: { ...spec.env, MILLRACE_STACK: spec.home },
    detached: true,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  /** @type {Promise<Exit>} */
  const exited = new Promise((resolve) => {
    child.once('exit', (code, signal) => {
      rmSync(pidFile, { force: true });
      resolve({ code, signal });
    });
  });
  await new Promise((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
  const pid = child.pid ?? 0;
  writeFileSync(pidFile, `${pid}\n`);
  if (process.platform !== 'linux') guard(pid);
  return {
    name: spec.name,
    pid,
    logFile,
    logStart,
    exited,
    isRunning: () => child.exitCode === null && child.signalCode === null,
    signal: (signal) => void child.kill(signal),
  };
}

/**
 * Asks a child to end, and ends it when it does not.
 * @param {Child} child
 * @param {{ signal: NodeJS.Signals, graceMs: number }} options
 */
export async function stopChild(child, { signal, graceMs }) {
  if (!child.isRunning()) return;
  child.signal(signal);
  const timer = setTimeout(() => child.signal('SIGKILL'), graceMs);
  await child.exited;
  clearTimeout(timer);
}

/** @param {string} logFile @returns {number} the size of the log that is appended to */
function setAsideLargeLog(logFile) {
  const size = statSync(logFile, { throwIfNoEntry: false })?.size ?? 0;
  if (size <= logBytesMax) return size;
  renameSync(logFile, `${logFile}.1`);
  return 0;
}

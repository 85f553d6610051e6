/**
 * `<home>/run`: who runs this stack now (`stack.json`) and the pid of each of its processes.
 *
 * I1. At most one stack runs on a home: `stack.json` is made with O_EXCL and names its process.
 * I2. A file that a killed process left behind is worth nothing: a pid counts only when it can be
 *     shown that it still is the process that was meant.
 */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

import { codeOf } from './stack-error.mjs';
import { until } from './wait.mjs';

/** What was killed is gone within moments; the kernel only has to take its memory back. */
const killTimeoutMs = 10_000;
/** Between a process's start and the writing of its pid file, in whole seconds of `ps`. */
const pidFileLagMsMax = 5_000;

/**
 * @typedef {object} StackState
 * @property {number} pid
 * @property {string} processStart see `startOf`
 * @property {string} startedAt
 * @property {boolean} ready
 * @property {string} claude
 * @property {import('./ports.mjs').Ports} ports
 * @property {Record<string, string>} urls
 */

/** @param {string} home */
const stateFile = (home) => join(home, 'run', 'stack.json');

/**
 * @param {string} home
 * @returns {StackState | undefined} of the stack that runs there
 */
export function readRunningStack(home) {
  const state = readState(home);
  return state !== undefined && isRunning(state) ? state : undefined;
}

/**
 * Takes the home for this process.
 * @param {string} home
 * @param {StackState} state
 * @returns {StackState | undefined} the other stack's, when one runs there already
 */
export function claimHome(home, state) {
  mkdirSync(join(home, 'run'), { recursive: true });
  for (;;) {
    try {
      writeFileSync(stateFile(home), JSON.stringify(state, null, 2), { flag: 'wx' });
      return undefined;
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
    }
    const other = readState(home);
    if (other !== undefined && isRunning(other)) return other;
    rmSync(stateFile(home), { force: true });
  }
}

/** @param {string} home @param {StackState} state */
export function updateState(home, state) {
  writeFileSync(`${stateFile(home)}.new`, JSON.stringify(state, null, 2));
  renameSync(`${stateFile(home)}.new`, stateFile(home));
}

/** @param {string} home */
export function releaseHome(home) {
  if (readState(home)?.pid === process.pid) rmSync(stateFile(home), { force: true });
}

/**
 * @param {string} home
 * @returns {{ name: string, pid: number, alive: boolean }[]}
 */
export function listProcesses(home) {
  const folder = join(home, 'run');
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((file) => file.endsWith('.pid'))
    .sort()
    .map((file) => {
      const pid = Number(readFileSync(join(folder, file), 'utf8'));
      const { mtimeMs } = statSync(join(folder, file));
      const alive = isAlive(pid) && isChildOf(pid, home, mtimeMs);
      return { name: file.slice(0, -'.pid'.length), pid, alive };
    });
}

/**
 * Ends what an earlier stack left behind, which only happens where the kernel does not do it.
 * @param {string} home of which this process is the owner
 * @returns {Promise<string[]>} the names of what had to be ended
 */
export async function endLeftovers(home) {
  const found = listProcesses(home);
  const living = found.filter(({ alive }) => alive);
  for (const { pid } of living) process.kill(pid, 'SIGKILL');
  for (const { name, pid } of living) {
    await until(`${name} (${pid}) ends`, killTimeoutMs, () => !isAlive(pid) || undefined);
  }
  for (const { name } of found) rmSync(join(home, 'run', `${name}.pid`), { force: true });
  return living.map(({ name }) => name);
}

/** @param {number} pid @returns {boolean} it runs: one that ended and was not reaped does not */
export function isAlive(pid) {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
  if (process.platform !== 'linux') return true;
  const stat = readProcFile(pid, 'stat');
  return stat !== undefined && !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
}

/**
 * Pids are used again: a process is the stack's child only when it carries the stack's home.
 * @param {number} pid
 * @param {string} home
 * @param {number} pidFileAtMs when the pid was written down
 */
function isChildOf(pid, home, pidFileAtMs) {
  if (process.platform === 'linux') {
    const environment = readProcFile(pid, 'environ')?.split('\0') ?? [];
    return environment.includes(`MILLRACE_STACK=${home}`);
  }
  return Math.abs(Date.parse(startOf(pid)) - pidFileAtMs) < pidFileLagMsMax;
}

/** @param {number} pid @returns {string} when the process began: tells it from a later one */
export function startOf(pid) {
  if (process.platform === 'linux') {
    const stat = readProcFile(pid, 'stat') ?? '';
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  }
  return spawnSync('ps', ['-p', String(pid), '-o', 'lstart='], { encoding: 'utf8' }).stdout.trim();
}

/** @param {number} pid @param {string} file */
function readProcFile(pid, file) {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return undefined;
  }
}

/** @param {StackState} state */
const isRunning = ({ pid, processStart }) => isAlive(pid) && startOf(pid) === processStart;

/** @param {string} home @returns {StackState | undefined} */
function readState(home) {
  try {
    return JSON.parse(readFileSync(stateFile(home), 'utf8'));
  } catch {
    return undefined;
  }
}

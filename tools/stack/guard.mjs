/**
 * Where the kernel cannot tie a child's life to its parent's (anything but Linux), a guard process
 * does: it reads pids from a pipe and kills them when the pipe closes, which it does however the
 * parent ends.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const thisFile = fileURLToPath(import.meta.url);

/** @type {import('node:child_process').ChildProcess | undefined} */
let guardProcess;

/** @param {number} pid of a child that is to die with this process */
export function guard(pid) {
  if (guardProcess === undefined) {
    guardProcess = spawn(process.execPath, [thisFile], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    guardProcess.unref();
  }
  guardProcess.stdin?.write(`${pid}\n`);
}

if (process.argv[1] === thisFile) {
  /** @type {Set<number>} */
  const pids = new Set();
  const lines = createInterface({ input: process.stdin });
  lines.on('line', (line) => pids.add(Number(line)));
  lines.on('close', () => {
    for (const pid of pids) {
      try {
        process.kill(-pid, 'SIGKILL');
      } catch {
        // It has ended by itself.
      }
    }
  });
}

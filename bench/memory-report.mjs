/**
 * Loaded into a service by a bench (node --import): asked by SIGUSR2, it collects all garbage and
 * writes what memory is left, so that two reports differ by what is kept, and by nothing else.
 */
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const home = process.env.MILLRACE_BENCH_HOME;
/** What is freed by callbacks and in other threads is free by then. */
const settleMs = 300;

/** @param {string} folder @param {number} pid */
export const reportFile = (folder, pid) => join(folder, `memory-${pid}.json`);

if (home && process.argv[1]?.endsWith('dist/main.js')) {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc');
  process.on('SIGUSR2', () => {
    collect();
    setTimeout(() => {
      collect();
      const file = reportFile(home, process.pid);
      writeFileSync(`${file}.part`, JSON.stringify(process.memoryUsage()));
      renameSync(`${file}.part`, file);
    }, settleMs);
  });
}

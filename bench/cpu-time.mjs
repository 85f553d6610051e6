/** CPU seconds of process trees, read from /proc (Linux; elsewhere there is no figure). */
import { readdirSync, readFileSync } from 'node:fs';

import { printTable, round } from './figures.mjs';

/** Clock ticks a second: USER_HZ is 100 on every Linux that Node runs on. */
const ticksPerSecond = 100;

function readStat(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // Fields from `state`: ppid 1, utime 11, stime 12, cutime 13, cstime 14 (proc(5)).
    const [user, system, childUser, childSystem] = fields.slice(11, 15).map(Number);
    return { parent: Number(fields[1]), own: user + system, reaped: childUser + childSystem };
  } catch {
    return null;
  }
}

/**
 * CPU seconds used so far by each named process with all its descendants, ended ones included.
 * @param {Record<string, number>} pids name → pid
 * @returns {Record<string, number>} name → seconds; empty where there is no /proc
 */
export function cpuSeconds(pids) {
  const stats = new Map();
  for (const entry of readProc()) {
    const stat = readStat(entry);
    if (stat) stats.set(Number(entry), stat);
  }
  const seconds = {};
  for (const [name, root] of Object.entries(pids)) {
    if (stats.has(root)) seconds[name] = treeTicks(root, stats) / ticksPerSecond;
  }
  return seconds;
}

function readProc() {
  try {
    return readdirSync('/proc').filter((entry) => /^\d+$/.test(entry));
  } catch {
    return [];
  }
}

function treeTicks(pid, stats) {
  const stat = stats.get(pid);
  let ticks = stat.own + stat.reaped;
  for (const [child, { parent }] of stats) {
    if (parent === pid) ticks += treeTicks(child, stats);
  }
  return ticks;
}

const submitter = '(submitter)';

/**
 * Every process of a bench by name. In brackets: what stands for the world outside, whose CPU is
 * listed apart.
 * @param {{ stack: import('../tools/stack.mjs').Stack }} bench
 * @param {Record<string, number>} outside
 */
export function pidsOf({ stack }, outside) {
  const ours = Object.fromEntries(stack.names().map((name) => [name, stack.pid(name)]));
  const others = Object.entries(outside).map(([name, pid]) => [`(${name})`, pid]);
  return { ...ours, ...Object.fromEntries(others) };
}

/** The submitter is this process alone: every other one descends from it. */
export function cpuNow(pids) {
  const { user, system } = process.cpuUsage();
  return { ...cpuSeconds(pids), [submitter]: (user + system) / 1e6 };
}

/** @returns CPU seconds of each process for 1,000 of what was done `count` times */
export function cpuPerThousand(before, after, count) {
  const names = Object.keys(after);
  return Object.fromEntries(
    names.map((name) => [name, ((after[name] - (before[name] ?? 0)) * 1000) / count]),
  );
}

/** The sum of what is ours, Kafka and Postgres in it; null where there is no /proc. */
export function cpuOfOurs(cpu) {
  const ours = Object.entries(cpu).filter(([name]) => !name.startsWith('('));
  return ours.length === 0 ? null : ours.reduce((total, [, seconds]) => total + seconds, 0);
}

/**
 * @param {readonly { cpu: Record<string, number> }[]} runs
 * @param {string} note
 * @returns {[number[], string]} a figure's runs and note
 */
export function cpuOfRuns(runs, note) {
  const measured = runs.map(({ cpu }) => cpuOfOurs(cpu)).filter((seconds) => seconds !== null);
  return measured.length === runs.length ? [measured, note] : [[], 'there is no /proc here'];
}

/** @param {string} what @param {{ name: string, cpu: Record<string, number> }[]} runs */
export function printCpu(what, runs) {
  const names = Object.keys(runs[0]?.cpu ?? {});
  const world = '((…): stands for the world outside, not in the sum)';
  console.log(`\n  CPU seconds per 1,000 ${what} ${world}`);
  printTable(
    ['run', ...names, 'sum'],
    runs.map(({ name, cpu }) => {
      const ours = cpuOfOurs(cpu);
      const cells = names.map((each) => round(cpu[each] ?? 0));
      return [name, ...cells, ours === null ? '–' : round(ours)];
    }),
  );
  console.log('');
}

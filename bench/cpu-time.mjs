/** CPU seconds of process trees, read from /proc (Linux; elsewhere there is no figure). */
import { readdirSync, readFileSync } from 'node:fs';

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

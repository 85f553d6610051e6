/**
 * Who runs agents in the bench, ours and peers: warmed up once, then one run of each in turn, so
 * that a busy minute of the machine meets all of them.
 */
import { cpuNow, cpuPerThousand } from './cpu-time.mjs';
import { round } from './figures.mjs';

/**
 * Durable steps of one agent: six turns of the model, the last of which is the answer, and the six
 * tool calls that they ask for, the first two of them at once.
 */
const turns = 6;
const toolCalls = 6;
export const steps = turns + toolCalls;
export const opening = `Look around. [[agent:${turns},${toolCalls}]]`;

/**
 * @typedef {{ count: number, atOnce: number, label: string }} RunSize
 * @typedef {object} Contender
 * @property {string} name
 * @property {(size: RunSize) => Promise<number>} run seconds that so many agents took
 * @property {Record<string, number>} pids its processes; in brackets what stands for the world
 * @property {string | null} gone why it runs no (more) agents
 * @property {{ name: string, rate: number, cpu: Record<string, number> }[]} runs steps/s, and CPU
 *   seconds for 1,000 steps
 */

/**
 * @param {Pick<Contender, 'name' | 'run' | 'pids'>} parts
 * @returns {Contender}
 */
export function contender(parts) {
  return { ...parts, gone: null, runs: [] };
}

/** @param {string} name @param {string} gone @returns {Contender} one that cannot run */
export function absentContender(name, gone) {
  const run = () => Promise.reject(new Error(gone));
  return { name, run, pids: {}, gone, runs: [] };
}

/**
 * @param {readonly Contender[]} contenders
 * @param {{ agents: number, atOnce: number, runs: number, warmUp: number }} size
 */
export async function takeTurns(contenders, { agents, atOnce, runs, warmUp }) {
  for (const each of contenders) {
    await unlessGone(each, () => each.run({ count: warmUp, atOnce, label: 'warm-up' }));
  }
  for (let n = 1; n <= runs; n += 1) {
    for (const each of contenders) {
      await unlessGone(each, () => measure(each, { count: agents, atOnce, label: `run-${n}` }));
    }
  }
}

async function measure(one, size) {
  const before = cpuNow(one.pids);
  const seconds = await one.run(size);
  const done = size.count * steps;
  const cpu = cpuPerThousand(before, cpuNow(one.pids), done);
  console.log(`  ${one.name}, ${size.count} agents: ${round(done / seconds)} steps/s`);
  one.runs.push({ name: `${one.name}, ${size.label}`, rate: done / seconds, cpu });
}

/** What failed once may fail at once, or hang again: its other runs are not tried. */
async function unlessGone(one, work) {
  if (one.gone !== null) return;
  try {
    await work();
  } catch (error) {
    one.gone = error.message;
    console.log(`  ${one.name}: ${error.message}`);
  }
}

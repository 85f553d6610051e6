/** `npm run status` and `npm stop`: looking at a stack from outside, and ending it. */
import { endLeftovers, isAlive, listProcesses, readRunningStack } from '../stack/run-folder.mjs';
import { until } from '../stack/wait.mjs';
import { bold, dim, green, print, printDone, red, step } from '../terminal.mjs';

/** A stop takes 15 s at the most; a little more before it is called a failure. */
const stopTimeoutMs = 20_000;

/** @param {string} home @returns {number} 0: it serves, 1: it is starting, 3: it is down */
export function showStatus(home) {
  const state = readRunningStack(home);
  if (state === undefined) {
    print('Millrace is not running. `npm start` starts it.');
    return 3;
  }
  const since = new Date(state.startedAt).toLocaleString();
  const heading = bold(`Millrace ${state.ready ? 'runs' : 'is starting'}`);
  print(`${heading}  ${dim(`pid ${state.pid}, since ${since}`)}`);
  for (const { name, pid, alive } of listProcesses(home)) {
    const url = state.urls[urlNames[name] ?? name] ?? addressOf(name, state.ports);
    const mark = alive ? green('✓') : red('✗');
    print(`${mark} ${name.padEnd(20)} ${`pid ${pid}`.padEnd(12)} ${url}`.trimEnd());
  }
  print(`  ${'Claude'.padEnd(20)} ${state.claude}`);
  return state.ready ? 0 : 1;
}

/** @type {Record<string, string>} */
const urlNames = { 'claude-stand-in': 'claude', 'webhook-receiver': 'receiver' };

/** @param {string} name @param {import('../stack/ports.mjs').Ports} ports */
function addressOf(name, ports) {
  if (name === 'kafka') return `127.0.0.1:${ports.kafka}`;
  return name === 'postgres' ? `127.0.0.1:${ports.postgres}` : '';
}

/** @param {string} home @returns {Promise<number>} 0 when nothing runs any more */
export async function stopRunning(home) {
  const state = readRunningStack(home);
  if (state === undefined) {
    const ended = await endLeftovers(home);
    if (ended.length > 0) printDone('Ended what was left', ended.join(', '));
    else print('Millrace is not running.');
    return 0;
  }
  await step('Stopping', async () => {
    process.kill(state.pid, 'SIGTERM');
    await until(`pid ${state.pid} ends`, stopTimeoutMs, () => !isAlive(state.pid) || undefined);
  });
  return 0;
}

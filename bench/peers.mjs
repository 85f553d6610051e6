/**
 * Engines for durable execution that run the same agents beside ours, each in a process of its own
 * (`peers/<name>.mjs`). What they need is no dependency of the repository: it is installed into
 * `bench/peers` when they are asked for.
 */
import { fork } from 'node:child_process';
import { join } from 'node:path';

import { repoRoot } from '../tools/paths.mjs';
import { install, isInstalled } from '../tools/setup/install.mjs';
import { print, step } from '../tools/terminal.mjs';
import { absentContender, contender, opening } from './contender.mjs';

/** A server starts within seconds; an npm that cannot reach its registry gives up by itself. */
const startMsMax = 60_000;
const runMsMax = 300_000;
const folder = join(repoRoot, 'bench', 'peers');

const notAsked = 'run with --peers';
/** Why a peer that others compare with is not measured. */
const unobtainable = { temporal: 'its server comes in no npm package' };
const runnable = ['dbos', 'restate'];
export const peerNames = [...runnable, ...Object.keys(unobtainable)];

/**
 * @param {{ wanted: boolean, bench: import('./bench-stack.mjs').Bench, toolPort: number }} options
 * @returns {Promise<{ contenders: import('./contender.mjs').Contender[], close: () => void }>}
 */
export async function openPeers({ wanted, bench, toolPort }) {
  const children = [];
  const absent = Object.entries(unobtainable).map(([name, why]) => absentContender(name, why));
  if (!wanted) return none([...runnable.map((name) => absentContender(name, notAsked)), ...absent]);
  try {
    await provide();
  } catch (error) {
    print(`  ${error.message}\n${error.log ?? ''}`);
    return none([...runnable.map((name) => absentContender(name, error.message)), ...absent]);
  }
  const present = [];
  for (const name of runnable) present.push(await openPeer(name, { bench, toolPort, children }));
  return {
    contenders: [...present, ...absent],
    close: () => children.forEach((child) => child.connected && child.disconnect()),
  };
}

function none(contenders) {
  return { contenders, close: () => undefined };
}

async function provide() {
  if (isInstalled(folder)) return;
  await step('  peers', (update) => install({ folder, onProgress: update }), () => folder);
}

async function openPeer(name, { bench, toolPort, children }) {
  const settings = {
    home: join(bench.home, name),
    postgresUrl: bench.stack.postgresUrl,
    modelPort: bench.model.port,
    toolPort,
    opening,
  };
  const file = join(folder, `${name}.mjs`);
  const child = fork(file, [JSON.stringify(settings)], { execArgv: [] });
  children.push(child);
  try {
    await answerOf(child, startMsMax);
    const pids = { [name]: child.pid, ...postgresOf(name, bench) };
    return contender({ name, pids, run: (size) => runOn(child, size) });
  } catch (error) {
    return absentContender(name, error.message);
  }
}

/** DBOS lives in Postgres: what it costs there is its own. */
function postgresOf(name, { stack }) {
  return name === 'dbos' ? { postgres: stack.pid('postgres') } : {};
}

async function runOn(child, size) {
  const answer = answerOf(child, runMsMax);
  child.send(size);
  return (await answer).seconds;
}

/** The next thing that a peer says. One that keeps silent is ended: nothing more comes of it. */
function answerOf(child, waitMsMax) {
  return new Promise((resolve, reject) => {
    const settle = (end, value) => {
      clearTimeout(timer);
      child.off('message', onMessage).off('exit', onExit);
      end(value);
    };
    const onMessage = (message) => {
      if (message.error === undefined) settle(resolve, message);
      else settle(reject, new Error(message.error));
    };
    const onExit = (code, signal) => settle(reject, new Error(`it ended with ${code ?? signal}`));
    const timer = setTimeout(() => {
      settle(reject, new Error(`it said nothing for ${waitMsMax / 1000} s`));
      child.kill('SIGKILL');
    }, waitMsMax);
    child.on('message', onMessage).on('exit', onExit);
  });
}

/**
 * npm test [-- --only STAGE,…] [PATTERN…]
 *
 * Sets everything up and checks it: lint, types, repo rules, unit, integration, end to end. Ends
 * with one line that sums what ran. `npm run check` is the same without the set-up. Runs on an old
 * Node without dependencies until both are installed.
 */
import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';

import { provideChromium } from './check/chromium.mjs';
import { provideKcat } from './check/kcat.mjs';
import { providePythonReceivers } from './check/python-receivers.mjs';
import { stages } from './check/stages.mjs';
import { sum, summaryLine } from './check/tally.mjs';
import { build } from './setup/build.mjs';
import { install, installedNode, isInstalled } from './setup/install.mjs';
import { fetchKafkaLibs, hasKafkaLibs } from './setup/kafka-libs.mjs';
import { requirePrerequisites } from './setup/prerequisites.mjs';
import { StackError } from './stack/stack-error.mjs';
import { formatMs, print, printFailure, printHeading, step, warn } from './terminal.mjs';

const nodeMajorWanted = 24;

const { values, positionals } = parseArgs({
  options: {
    only: { type: 'string' },
    'no-setup': { type: 'boolean' },
    help: { type: 'boolean' },
  },
  allowPositionals: true,
});
const names = stages.map(({ name }) => name);
const wanted = values.only?.split(',') ?? names;
const unknown = wanted.filter((name) => !names.includes(name));
if (values.help === true || unknown.length > 0) {
  if (unknown.length > 0) console.error(`There is no stage ${unknown.join(', ')}.`);
  console.error(`Usage: npm test -- [--only ${names.join(',')}] [PATTERN…]`);
  process.exit(unknown.length > 0 ? 2 : 0);
}

/** Makes a stage's line end in a cross. */
class StageFailure extends Error {
  /** @param {import('./check/stages.mjs').StageResult} result */
  constructor(result) {
    super(summaryLine(result.tally));
    this.result = result;
  }
}

const stop = new AbortController();
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
  process.on(signal, () => stop.abort());
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof StackError)) throw error;
  printFailure(error);
  process.exitCode = 1;
}

async function main() {
  const startedAt = performance.now();
  if (values['no-setup'] !== true) await installDependencies();
  // npm gives its scripts the installed Node by itself, but not on the run that installs it.
  if (Number.parseInt(process.versions.node, 10) < nodeMajorWanted) return handOver();
  const missing = await prepare();
  const tally = sum(await check(missing));
  print();
  for (const { name, reason } of tally.skipped) print(`skipped: ${name} (${reason})`);
  if (stop.signal.aborted) warn('stopped before the end');
  print(`in ${formatMs(performance.now() - startedAt)}`);
  print(summaryLine(tally));
  return tally.failed > 0 || stop.signal.aborted ? 1 : 0;
}

async function installDependencies() {
  requirePrerequisites();
  if (isInstalled()) return;
  await step('dependencies', (update) => {
    let packages = 0;
    return install({
      signal: stop.signal,
      onProgress: (line) => {
        if (/http (?:fetch|cache)/.test(line)) packages += 1;
        update(`npm ci, ${packages} packages looked at`);
      },
    });
  });
}

/** @returns {Promise<number>} the exit status of the same command on the Node that is installed */
function handOver() {
  const child = spawn(installedNode, process.argv.slice(1), { stdio: 'inherit' });
  stop.signal.addEventListener('abort', () => child.kill('SIGTERM'));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 1));
  });
}

/**
 * What a story is told with and is not there, and why.
 * @typedef {readonly { readonly tool: RegExp, readonly reason: string }[]} Missing
 */

/** @returns {Promise<Missing>} */
async function prepare() {
  const needsKafka = ['integration', 'e2e', 'bench'].some((stage) => wanted.includes(stage));
  await step('build', () => build(), ({ built }) => `${built} files`);
  if (!needsKafka) return [];
  if (!hasKafkaLibs()) await step('Apache Kafka', fetchKafka);
  if (!wanted.includes('e2e')) return [];
  const tools = [
    { label: 'kcat', tool: /kcat/i, provide: provideKcat },
    { label: 'receivers in Python', tool: /python/i, provide: providePythonReceivers },
    { label: 'Chromium', tool: /browser/i, provide: provideChromium },
  ];
  const missing = [];
  for (const { label, tool, provide } of tools) {
    const reason = await step(label, () => provide(stop.signal), (why) => why);
    if (reason !== '') missing.push({ tool, reason });
  }
  return missing;
}

/** @param {(detail: string) => void} update */
function fetchKafka(update) {
  let files = 0;
  return fetchKafkaLibs({
    signal: stop.signal,
    onProgress: (line) => {
      if (line.includes('Downloaded')) files += 1;
      update(`by Maven, ${files} files`);
    },
  });
}

/** @param {Missing} missing */
async function check(missing) {
  /** @param {string} name */
  const reasonOf = (name) =>
    missing.find(({ tool }) => tool.test(name))?.reason ?? 'skipped by its own file';
  const tallies = [];
  for (const stage of stages.filter(({ name }) => wanted.includes(name))) {
    if (stop.signal.aborted) break;
    tallies.push(await checkStage(stage, reasonOf));
  }
  return tallies;
}

/**
 * @param {import('./check/stages.mjs').Stage} stage
 * @param {(name: string) => string} reasonOf
 */
async function checkStage({ label, run }, reasonOf) {
  /** @type {readonly string[]} */
  let said = [];
  try {
    const tally = await step(
      label,
      async (update) => {
        const result = await run({
          signal: stop.signal,
          update,
          patterns: positionals,
          reasonOf,
        });
        said = result.said ?? [];
        if (result.tally.failed > 0) throw new StageFailure(result);
        return result.tally;
      },
      summaryLine,
    );
    for (const line of said) print(line);
    return tally;
  } catch (error) {
    if (!(error instanceof StageFailure)) throw error;
    const { tally, log } = error.result;
    printHeading(`${label}: ${summaryLine(tally)}`);
    for (const line of said) print(line);
    print(log);
    return tally;
  }
}

/** From installed dependencies to a running stack, and to its end. On the installed Node. */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { homeFolder, repoRoot } from '../paths.mjs';
import { build } from '../setup/build.mjs';
import { fetchKafkaLibs, hasKafkaLibs } from '../setup/kafka-libs.mjs';
import { portsFromEnvironment, startStack } from '../stack.mjs';
import { bold, print, printDone, printFailure, step, warn, yellow } from '../terminal.mjs';
import { requireWorkingKey } from './claude-key.mjs';
import { printReady } from './ready.mjs';

/**
 * @param {import('./options.mjs').Options} options
 * @param {AbortSignal} signal aborted when the user wants an end
 * @returns {Promise<number>} the exit status
 */
export async function run(options, signal) {
  const startedAt = performance.now();
  ignoreKafkaJsWarning();
  print(bold('Millrace'));
  const ports = portsFromEnvironment(process.env);
  if (options.reset) removeData();
  const claude = claudeFromEnvironment();
  if (claude !== undefined) await step('Anthropic API key', () => requireWorkingKey(claude));
  await prepare(signal);
  /** @type {PromiseWithResolvers<Error>} */
  const lost = Promise.withResolvers();
  const stack = await startStack({
    home: homeFolder,
    ports,
    replicas: options.replicas,
    claude,
    signal,
    report: { step: (label, work, describe) => step(label, work, describe), warn },
    onLost: lost.resolve,
  });
  printDone('Up', '', performance.now() - startedAt);
  if (process.platform !== 'linux') {
    warn('Not on Linux: after a kill -9 of this process a guard process ends what it started.');
  }
  try {
    const failure = await Promise.race([
      work({ options, stack, signal }),
      lost.promise,
      aborted(signal),
    ]);
    if (failure !== undefined && !signal.aborted) printFailure(failure);
    return failure === undefined || signal.aborted ? 0 : 1;
  } finally {
    await step('Stopped', () => stack.stop());
  }
}

/**
 * @param {object} options
 * @param {import('./options.mjs').Options} options.options
 * @param {import('../stack.mjs').Stack} options.stack
 * @param {AbortSignal} options.signal
 * @returns {Promise<Error | undefined>} an error that ends the stack
 */
async function work({ options, stack, signal }) {
  let jobId;
  if (options.document !== undefined) {
    const { doSampleJob, newJobId } = await import('./sample-job.mjs');
    jobId = newJobId();
    const failure = await doSampleJob({ stack, jobId, document: options.document, signal });
    if (options.once || signal.aborted) return failure;
    if (failure !== undefined) printFailure(failure);
  }
  printReady(stack, jobId);
  if (options.command === 'dev') {
    const { watchSources } = await import('./watch.mjs');
    await watchSources(stack, signal);
  }
  return aborted(signal);
}

/** kafkajs sets timers in the past, which Node takes as "now" and remarks on: harmless. */
function ignoreKafkaJsWarning() {
  process.removeAllListeners('warning');
  process.on('warning', (warning) => {
    if (warning.name !== 'TimeoutNegativeWarning') warn(warning.message);
  });
}

/** @param {AbortSignal} signal @returns {Promise<undefined>} */
const aborted = (signal) =>
  new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    signal.addEventListener('abort', () => resolve(undefined));
  });

/** @param {AbortSignal} signal */
async function prepare(signal) {
  if (!hasKafkaLibs()) {
    await step('Apache Kafka', (update) => {
      let files = 0;
      return fetchKafkaLibs({
        signal,
        onProgress: (line) => {
          if (line.includes('Downloaded')) files += 1;
          update(`by Maven, ${files} files`);
        },
      });
    });
  }
  await step(
    'Build',
    () => build(),
    ({ projects: count, built }) => `${count} projects, ${built} files changed`,
  );
}

/** @returns {{ apiKey: string, baseUrl: string | undefined } | undefined} */
function claudeFromEnvironment() {
  const apiKey = process.env['ANTHROPIC_API_KEY'];
  if (apiKey !== undefined && apiKey.trim() !== '') {
    return { apiKey: apiKey.trim(), baseUrl: process.env['ANTHROPIC_BASE_URL'] || undefined };
  }
  print(yellow('No ANTHROPIC_API_KEY: a Claude stand-in answers, and no model is asked.'));
  return undefined;
}

/** Everything below the home but Kafka's jars, which are no data. */
function removeData() {
  const home = homeFolder;
  for (const name of existsSync(home) ? readdirSync(home) : []) {
    if (name === 'kafka') {
      for (const part of readdirSync(join(home, name))) {
        if (part !== 'libs') rmSync(join(home, name, part), { recursive: true, force: true });
      }
    } else if (ownFolders.has(name)) {
      rmSync(join(home, name), { recursive: true, force: true });
    }
  }
  printDone('Removed all data', home.startsWith(repoRoot) ? home.slice(repoRoot.length + 1) : home);
}

/** A MILLRACE_HOME that points to a folder with other things in it must not lose those. */
const ownFolders = new Set([
  'postgres',
  'run',
  'logs',
  'api-key',
  'admin-key',
  'webhook-secret',
  'internal-key',
]);

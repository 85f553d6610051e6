/**
 * node tools/scratch.mjs -- COMMAND…
 *
 * Runs a command beside a Kafka and a PostgreSQL of its own: free ports, data in a temporary folder
 * that is removed afterwards. The command finds them in MILLRACE_TEST_KAFKA (broker) and
 * MILLRACE_TEST_POSTGRES (superuser's URL); its exit status becomes this one's.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';

import { fetchKafkaLibs } from './setup/kafka-libs.mjs';
import { stopChild } from './stack/child.mjs';
import { prepareKafka, startKafka } from './stack/kafka.mjs';
import { freePorts } from './stack/ports.mjs';
import { preparePostgres, startPostgres } from './stack/postgres.mjs';
import { StackError } from './stack/stack-error.mjs';

const command = process.argv.slice(2);
if (command[0] === '--') command.shift();
if (command.length === 0) {
  console.error('Usage: node tools/scratch.mjs -- COMMAND…');
  process.exit(2);
}

const home = mkdtempSync(join(tmpdir(), 'millrace-scratch-'));
/** @type {import('./stack/child.mjs').Child[]} */
const servers = [];
/** @type {import('node:child_process').ChildProcess | undefined} */
let running;
let stopping = false;
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
  process.on(signal, () => {
    stopping = true;
    running?.kill('SIGTERM');
  });
}

try {
  const env = await startServers();
  process.exitCode = stopping ? 1 : await run(env);
} catch (error) {
  if (!(error instanceof StackError)) throw error;
  console.error(`scratch: ${error.message}${error.log ? `\n${error.log}` : ''}`);
  process.exitCode = 1;
} finally {
  // Nothing here is kept, so nothing needs a clean end.
  await Promise.all(servers.map((server) => stopChild(server, { signal: 'SIGQUIT', graceMs: 0 })));
  rmSync(home, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
}

/** @returns {Promise<NodeJS.ProcessEnv>} the command's environment */
async function startServers() {
  await fetchKafkaLibs();
  const ports = await freePorts();
  const { env } = process;
  const kafka = { home, port: ports.kafka, controllerPort: ports.kafkaController, env };
  const postgres = { home, port: ports.postgres, env };
  const [, password] = await Promise.all([
    prepareKafka(kafka).then(async () => servers.push(await startKafka(kafka))),
    preparePostgres(postgres).then(async (secret) => {
      servers.push(await startPostgres(postgres));
      return secret;
    }),
  ]);
  return {
    ...env,
    MILLRACE_TEST_KAFKA: `127.0.0.1:${ports.kafka}`,
    MILLRACE_TEST_POSTGRES: `postgres://postgres:${password}@127.0.0.1:${ports.postgres}/postgres`,
  };
}

/**
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<number>} the command's exit status
 */
async function run(env) {
  const [file = '', ...args] =
    process.platform === 'linux' ? ['setpriv', '--pdeathsig', 'TERM', ...command] : command;
  running = spawn(file, args, { env, stdio: 'inherit' });
  running.once('error', (error) => console.error(`scratch: ${error.message}`));
  const [code, signal] = await once(running, 'close');
  return code ?? 128 + constants.signals[/** @type {NodeJS.Signals} */ (signal)];
}

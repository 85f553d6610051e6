/**
 * A stack of its own for a bench, a month old, with a labelled model server and receiver beside it.
 */
import { fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import kafkajs from 'kafkajs';

import { freePorts, startStack } from '../tools/stack.mjs';
import { serviceNames } from '../tools/stack/environment.mjs';
import { makeOldDays } from '../tools/stack/old-days.mjs';

/** @typedef {Awaited<ReturnType<typeof openBench>>} Bench */

/** @typedef {import('../tools/stack.mjs').ServiceName} ServiceName */

/** Both compilers of the JVM, as a broker that runs for days has them. */
const kafkaOptions = '-XX:+UseG1GC -XX:MaxGCPauseMillis=20';
/** @type {Partial<Record<ServiceName, Record<string, string>>>} */
const settingsOf = { 'claude-worker': { MAX_IN_FLIGHT: '1000' } };

/**
 * @param {object} options
 * @param {string} [options.cpuProf] the folder for a CPU profile of each service
 * @param {import('../tools/stack.mjs').StackOptions['services']} [options.services]
 * @param {import('../tools/stack.mjs').StackOptions['replicas']} [options.replicas]
 * @param {Record<string, string>} [options.postgresSettings]
 * @param {Partial<Record<ServiceName, string>>} [options.preload] a file of this folder that a
 *   service loads first
 */
export async function openBench({ cpuProf, services, replicas, postgresSettings, preload }) {
  const home = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
  const model = await startHelper('model-server.mjs', ['0', '0']);
  const receiver = await startHelper('receiver.mjs', ['0']);
  console.log('  starting a stack for the bench …');
  const stack = await startStack({
    home,
    ports: await freePorts(),
    env: { ...process.env, KAFKA_JVM_PERFORMANCE_OPTS: kafkaOptions },
    claude: { apiKey: 'bench', baseUrl: `http://127.0.0.1:${model.port}` },
    receiver: false,
    services,
    replicas,
    postgresSettings,
    serviceEnv: Object.fromEntries(
      serviceNames.map((name) => [
        name,
        { ...preloaded({ home, cpuProf, file: preload?.[name] }), ...settingsOf[name] },
      ]),
    ),
  });
  await makeOldDays(stack);
  const kafka = new kafkajs.Kafka({
    clientId: 'bench-submitter',
    brokers: [stack.kafkaBroker],
    logLevel: kafkajs.logLevel.ERROR,
  });
  const producer = kafka.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner });
  await producer.connect();
  return {
    stack,
    receiver,
    model,
    home,
    kafka,
    producer,
    startHelper,
    setModelMs: (ms) => fetch(`http://127.0.0.1:${model.port}/bench/model-ms/${ms}`),
    async close() {
      await producer.disconnect();
      await stack.stop();
      model.child.disconnect();
      receiver.child.disconnect();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

/** What a service loads first: to write a CPU profile when it ends, and what a bench asks for. */
function preloaded({ home, cpuProf, file }) {
  const files = [...(cpuProf === undefined ? [] : ['cpu-profile.mjs']), ...(file ? [file] : [])];
  if (files.length === 0) return {};
  const imports = files.map((name) => `--import=${new URL(name, import.meta.url).href}`);
  return {
    NODE_OPTIONS: imports.join(' '),
    MILLRACE_BENCH_HOME: home,
    ...(cpuProf === undefined ? {} : { MILLRACE_BENCH_CPU_PROF: resolve(cpuProf) }),
  };
}

async function startHelper(file, args) {
  const child = fork(new URL(file, import.meta.url), args, { execArgv: [] });
  const { port } = await answerOf(child);
  return { child, port, pid: child.pid, ask: (question) => ask(child, question) };
}

function answerOf(child) {
  return new Promise((resolve, reject) => {
    child.once('message', resolve);
    child.once('exit', (code) => reject(new Error(`a helper of the bench ended with ${code}`)));
  });
}

function ask(child, question) {
  const answer = new Promise((resolve) => child.once('message', resolve));
  child.send(question);
  return answer;
}

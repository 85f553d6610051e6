/** A stack of its own for a bench, with a labelled model server and receiver beside it. */
import { fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import kafkajs from 'kafkajs';

import { freePorts, startStack } from '../tools/stack.mjs';

/** @typedef {Awaited<ReturnType<typeof openBench>>} Bench */

/** Both compilers of the JVM, as a broker that runs for days has them. */
const kafkaOptions = '-XX:+UseG1GC -XX:MaxGCPauseMillis=20';

/** @param {string | undefined} cpuProf the folder for a CPU profile of each service */
export async function openBench(cpuProf) {
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
    serviceEnv: {
      ingest: profiled(cpuProf),
      'claude-worker': { ...profiled(cpuProf), MAX_IN_FLIGHT: '1000' },
      'webhook-dispatcher': profiled(cpuProf),
      'agent-orchestrator': profiled(cpuProf),
      'tool-runner': profiled(cpuProf),
    },
  });
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

/** Makes a service write a CPU profile into a folder when it ends. */
function profiled(cpuProf) {
  if (cpuProf === undefined) return {};
  const preload = new URL('cpu-profile.mjs', import.meta.url).href;
  return { NODE_OPTIONS: `--import=${preload}`, MILLRACE_BENCH_CPU_PROF: resolve(cpuProf) };
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

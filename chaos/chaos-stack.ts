import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import kafkajs from 'kafkajs';
import pg from 'pg';

import { build } from '../tools/setup/build.mjs';
import { fetchKafkaLibs } from '../tools/setup/kafka-libs.mjs';
import { freePorts, startStack } from '../tools/stack.mjs';
import { serviceNames } from '../tools/stack/environment.mjs';
import type { ToldEnd } from './agent-history.ts';

/** So that a kill finds calls in flight, and an agent lives through some kills. */
const toolMsMax = 3_000;
const modelMsMax = 3_000;
const replicas = 2;

export type ChaosStack = Awaited<ReturnType<typeof openChaosStack>>;

/** A real stack with its far edges beside it, each of them a process that nobody kills. */
export async function openChaosStack(seed: number) {
  await Promise.all([build(), fetchKafkaLibs()]);
  const home = mkdtempSync(join(tmpdir(), 'millrace-chaos-'));
  const tools = await startEdge('tool-server.mjs', [seed, toolMsMax]);
  const model = await startEdge('model-server.mjs', [seed, modelMsMax]);
  const stack = await startStack({
    home,
    ports: await freePorts(),
    replicas,
    receiver: false,
    claude: { apiKey: 'chaos', baseUrl: `http://127.0.0.1:${model.port}` },
    serviceEnv: {
      'webhook-dispatcher': { RETRY_SCHEDULE_MS: '0,200,500,1000,2000,4000,8000' },
    },
  });
  const database = new pg.Pool({ connectionString: stack.postgresUrl, max: 2 });
  const ends = await followEnds(stack.kafkaBroker);
  const victims = new Map(serviceNames.map((service) => [service, stack.replicasOf(service)]));
  return {
    stack,
    tools,
    model,
    database,
    ends,
    victims,
    apiUrls: stack.replicasOf('ingest').map((name) => stack.urls[name] ?? ''),
    async close(): Promise<void> {
      await ends.stop();
      await database.end();
      await stack.stop();
      for (const { child } of [tools, model]) child.disconnect();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

/** A process of this folder: it says its port, and all that it knows when it is asked to tell. */
export async function startEdge(file: string, args: readonly number[]) {
  const child = fork(join(import.meta.dirname, file), args.map(String), { execArgv: [] });
  const { port } = await answerOf<{ port: number }>(child);
  const ask = <Answer>(question = 'tell'): Promise<Answer> => {
    const answer = answerOf<Answer>(child);
    child.send(question);
    return answer;
  };
  return { child, port, ask };
}

async function answerOf<Answer>(child: ChildProcess): Promise<Answer> {
  const [answer] = await once(child, 'message');
  return answer;
}

/** All of `jobs.finished.v1`, as any consumer gets it. */
async function followEnds(broker: string) {
  const { Kafka, logLevel } = kafkajs;
  const topic = 'jobs.finished.v1';
  const kafka = new Kafka({ clientId: 'chaos', brokers: [broker], logLevel: logLevel.NOTHING });
  const told: ToldEnd[] = [];
  let isStopped = false;
  const consumer = kafka.consumer({
    groupId: 'chaos-ends',
    allowAutoTopicCreation: false,
    retry: { restartOnFailure: () => Promise.resolve(!isStopped) },
  });
  const admin = kafka.admin();
  await Promise.all([consumer.connect(), admin.connect()]);
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    eachMessage: ({ message: { headers, key } }) => {
      const id = String(headers?.['ce_id']);
      told.push({ jobId: String(key), id, type: String(headers?.['ce_type']) });
      return Promise.resolve();
    },
  });
  return {
    told,
    /** Whether all that the topic holds was read. */
    async isRead(): Promise<boolean> {
      const offsets = await admin.fetchTopicOffsets(topic);
      return told.length >= offsets.reduce((sum, { high, low }) => sum + +high - +low, 0);
    },
    async stop(): Promise<void> {
      isStopped = true;
      await Promise.all([consumer.disconnect(), admin.disconnect()]);
    },
  };
}

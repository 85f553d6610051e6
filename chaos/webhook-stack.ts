import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import kafkajs from 'kafkajs';
import pg from 'pg';

import { build } from '../tools/setup/build.mjs';
import { fetchKafkaLibs } from '../tools/setup/kafka-libs.mjs';
import { freePorts, startStack } from '../tools/stack.mjs';
import { startEdge } from './chaos-stack.ts';

/** So that a kill finds POSTs under way. */
const answerMsMax = 1_000;
/** POSTs at once to the endpoint, of each dispatcher: what waits lasts for most of the night. */
const inFlightMax = 5;
const service = 'webhook-dispatcher';
const dispatchers = 6;

export type WebhookStack = Awaited<ReturnType<typeof openWebhookStack>>;

/** Dispatchers with all that they need, and a receiver that nobody kills. */
export async function openWebhookStack(seed: number) {
  await Promise.all([build(), fetchKafkaLibs()]);
  const home = mkdtempSync(join(tmpdir(), 'millrace-chaos-'));
  const receiver = await startEdge('webhook-receiver.mjs', [seed, answerMsMax]);
  const stack = await startStack({
    home,
    ports: await freePorts(),
    services: ['ingest', service],
    replicas: { [service]: dispatchers },
    receiver: false,
  });
  await makeEndpoint(stack, `http://127.0.0.1:${receiver.port}/endpoint`);
  const { Kafka, logLevel, Partitioners } = kafkajs;
  const kafka = new Kafka({
    clientId: 'chaos',
    brokers: [stack.kafkaBroker],
    logLevel: logLevel.NOTHING,
  });
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
  await producer.connect();
  const database = new pg.Pool({ connectionString: stack.postgresUrl, max: 1 });
  return {
    stack,
    receiver,
    producer,
    victims: new Map([[service, stack.replicasOf(service)]]),
    /** How many there are, and how many of them have not ended. */
    async deliveries(): Promise<{ all: number; open: number }> {
      const { rows } = await database.query<{ all: number; open: number }>(
        `SELECT count(*)::int AS all, count(*) FILTER (WHERE ended_at IS NULL)::int AS open
         FROM dispatcher.deliveries`,
      );
      return rows[0] ?? { all: 0, open: 0 };
    },
    async close(): Promise<void> {
      await Promise.all([producer.disconnect(), database.end()]);
      await stack.stop();
      receiver.child.disconnect();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

async function makeEndpoint(
  { apiKey, urls }: { readonly apiKey: string; readonly urls: Readonly<Record<string, string>> },
  url: string,
): Promise<void> {
  const response = await fetch(`${urls['api']}/v1/webhook-endpoints`, {
    method: 'POST',
    headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ url, in_flight_max: inFlightMax }),
  });
  if (!response.ok) throw new Error(`the endpoint was answered with ${response.status}`);
}

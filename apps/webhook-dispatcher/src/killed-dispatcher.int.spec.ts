import { join } from 'node:path';

import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';
import {
  IdentityPayloadCodec,
  jobFinishedSchema,
  topics,
  type OutgoingMessage,
} from '@millrace/contracts';
import { createKafka, eventMessage, Publisher } from '@millrace/kafka';
import { createPool, type Pool } from '@millrace/postgres';
import { Metrics, SilentLogger } from '@millrace/runtime';
import {
  ChildProgram,
  createTestDatabase,
  createTestTopics,
  type TestDatabase,
  type TestTopics,
} from '@millrace/testing';
import { ROOT_CONTEXT } from '@opentelemetry/api';

import { webhookIdOf } from './core/webhook-id.ts';
import { addEndpoint, Receiver, secret } from './dispatcher-world.fixture.ts';

jest.setTimeout(240_000);

const jobs = 200;
const kills = 2;
const log = new SilentLogger();
const codec = new IdentityPayloadCodec();

let database: TestDatabase;
let pool: Pool;
let isolated: TestTopics;
let publisher: Publisher;
let receiver: Receiver;
const processes: ChildProgram[] = [];

beforeAll(async () => {
  [database, isolated, receiver] = await Promise.all([
    createTestDatabase(),
    createTestTopics(),
    new Receiver().listen(),
  ]);
  pool = createPool({ url: database.url('webhook_dispatcher'), max: 2, applicationName: 'spec' });
  publisher = new Publisher({
    kafka: createKafka({ ...isolated, clientId: 'spec', log }),
    name: 'spec',
    log,
    metrics: new Metrics(),
  });
  await publisher.connect();
});

afterAll(async () => {
  await Promise.all(processes.map((child) => child.kill()));
  receiver?.close();
  await publisher?.disconnect();
  await pool?.end();
  await isolated?.drop();
  await database?.drop();
});

function startProcess(): ChildProgram {
  const child = ChildProgram.start(
    join(import.meta.dirname, 'dispatcher-process.fixture.ts'),
    [isolated.prefix],
    {
      KAFKA_BROKERS: isolated.brokers.join(','),
      DATABASE_URL: database.url('webhook_dispatcher'),
      API_DATABASE_URL: database.url('webhook_dispatcher_api'),
      HTTP_PORT: '0',
      MILLRACE_EGRESS_ALLOWED_CIDRS: '127.0.0.0/8',
      // A busy machine answers a heartbeat late: what is killed is to be taken over, nothing else.
      LEASE_MS: '6000',
      LOG_LEVEL: 'warn',
      OTEL_SDK_DISABLED: 'true',
    },
  );
  processes.push(child);
  return child;
}

function finished(jobId: string): OutgoingMessage {
  return eventMessage({
    topic: topics.jobsFinished,
    type: 'millrace.job.succeeded.v1',
    id: `default:${jobId}:finished`,
    source: 'claude-worker',
    key: jobId,
    time: new Date(),
    tenant: 'default',
    data: jobFinishedSchema.parse({
      tenant: 'default',
      job_id: jobId,
      type: 'message',
      status: 'succeeded',
      result: `result of ${jobId}`,
      attempts: [],
      callback: { url: receiver.url('/callback') },
      created_at: '2026-11-23T10:00:00.000Z',
      finished_at: '2026-11-23T10:00:01.000Z',
    }),
    codec,
    context: ROOT_CONTEXT,
  });
}

async function publishTenant(): Promise<void> {
  const message = eventMessage({
    topic: topics.tenantsChanged,
    type: 'millrace.tenant.changed.v1',
    id: 'default:changed:1',
    source: 'ingest',
    key: 'default',
    time: new Date(),
    tenant: 'default',
    data: { tenant: 'default', webhook_secrets: [secret], changed_at: new Date().toISOString() },
    codec,
    context: ROOT_CONTEXT,
  });
  await publisher.publish([message]);
}

async function arrived(count: number): Promise<void> {
  while (receiver.received.length < count) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** Every webhook-id and body that came to a path, and how many POSTs those were. */
function at(path: string) {
  const bodies = new Map<string, Set<string>>();
  for (const { headers, body } of receiver.at(path)) {
    const id = String(headers['webhook-id']);
    bodies.set(id, (bodies.get(id) ?? new Set()).add(body));
  }
  return bodies;
}

it('what is killed under load loses nothing, and repeats itself under the same ids', async () => {
  // Each answer takes a moment, so that every kill finds some under way.
  receiver.answer = (_, __, response) => void setTimeout(() => response.end(), 30);
  await addEndpoint(pool, { url: receiver.url('/endpoint') });
  await publishTenant();
  const ids = Array.from({ length: jobs }, (_, i) => `job-${i}`);
  const events = ids.map(finished);
  await publisher.publish(events);
  for (let kill = 0; kill < kills; kill += 1) {
    const child = startProcess();
    await child.until(arrived(receiver.received.length + 60), 90_000);
    await child.kill();
  }
  // All of them once more: nothing new is made of it.
  await publisher.publish(events);
  const last = startProcess();
  const webhookIds = ids.map((id) => webhookIdOf(`default:${id}:finished`)).sort();
  const all = async (): Promise<void> => {
    for (let found = 0; found < 2 * jobs; ) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      const { rows } = await pool.query<{ count: number }>(
        `SELECT count(*)::int AS count FROM dispatcher.deliveries WHERE state = 'delivered'`,
      );
      found = rows[0]?.count ?? 0;
    }
  };
  await last.until(all(), 90_000);
  for (const path of ['/callback', '/endpoint']) {
    const bodies = at(path);
    expect([...bodies.keys()].sort()).toEqual(webhookIds);
    expect([...bodies.values()].every((each) => each.size === 1)).toBe(true);
  }
});

import { createServer, type IncomingHttpHeaders } from 'node:http';

import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import {
  IdentityPayloadCodec,
  jobFinishedSchema,
  redriveHeader,
  topics,
} from '@millrace/contracts';
import type { OutgoingMessage } from '@millrace/contracts';
import { createKafka, eventMessage, Publisher } from '@millrace/kafka';
import { createPool } from '@millrace/postgres';
import { Metrics, parseConfig, RuntimeModule, ServiceTransport } from '@millrace/runtime';
import { SilentLogger } from '@millrace/runtime';
import {
  createTestDatabase,
  createTestTopics,
  KafkaReader,
  type TestDatabase,
  type TestTopics,
} from '@millrace/testing';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { ROOT_CONTEXT } from '@opentelemetry/api';
import { Webhook } from 'svix';

import { configSchema } from './config.ts';
import { addEndpoint } from './dispatcher-world.fixture.ts';
import { WebhookDispatcherModule } from './webhook-dispatcher.module.ts';

jest.setTimeout(60_000);

const secret = 'whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=';
const log = new SilentLogger();
const codec = new IdentityPayloadCodec();

interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

let database: TestDatabase;
let isolated: TestTopics;
let publisher: Publisher;
let app: NestFastifyApplication;
let deadLetters: KafkaReader;
let receiverUrl: string;
const received = new Map<string, Received[]>();
const wakers: (() => void)[] = [];
/** Paths at which the receiver works again. */
const repaired = new Set<string>();

const receiver = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const path = request.url ?? '';
    const webhook = { headers: request.headers, body: Buffer.concat(chunks).toString('utf8') };
    received.set(path, [...(received.get(path) ?? []), webhook]);
    response.statusCode = path.startsWith('/broken') && !repaired.has(path) ? 500 : 200;
    if (path === '/gone') response.statusCode = 410;
    response.end();
    for (const wake of wakers.splice(0)) wake();
  });
});

beforeAll(async () => {
  [database, isolated] = await Promise.all([createTestDatabase(), createTestTopics()]);
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  const address = receiver.address();
  if (address === null || typeof address === 'string') throw new Error('not listening');
  receiverUrl = `http://127.0.0.1:${address.port}`;
  publisher = new Publisher({
    kafka: createKafka({ ...isolated, clientId: 'spec', log }),
    name: 'spec',
    log,
    metrics: new Metrics(),
  });
  await publisher.connect();
  deadLetters = await new KafkaReader(`${isolated.prefix}jobs.finished.v1.dlq`).start();
  app = await startDispatcher();
});

afterAll(async () => {
  await app.get(ServiceTransport).close();
  await app.close();
  await deadLetters.stop();
  await publisher.disconnect();
  receiver.closeAllConnections();
  receiver.close();
  await isolated.drop();
  await database.drop();
});

async function startDispatcher(): Promise<NestFastifyApplication> {
  const config = parseConfig(configSchema, {
    KAFKA_BROKERS: isolated.brokers.join(','),
    DATABASE_URL: database.url('webhook_dispatcher'),
    API_DATABASE_URL: database.url('webhook_dispatcher_api'),
    HTTP_PORT: '1',
    MILLRACE_EGRESS_ALLOWED_CIDRS: '127.0.0.0/8,::1/128',
    RETRY_SCHEDULE_MS: '0,10',
  });
  const module = await Test.createTestingModule({
    imports: [
      RuntimeModule.forService(config, 'webhook-dispatcher', log),
      WebhookDispatcherModule.forConfig(config, { kafkaPrefix: isolated.prefix }),
    ],
  }).compile();
  const made = module.createNestApplication<NestFastifyApplication>(new FastifyAdapter(), {
    logger: false,
  });
  made.connectMicroservice({ strategy: made.get(ServiceTransport) });
  await made.init();
  await made.startAllMicroservices();
  return made;
}

function finished(jobId: string, path: string, tenant = 'default'): OutgoingMessage {
  const job = jobFinishedSchema.parse({
    tenant,
    job_id: jobId,
    type: 'message',
    status: 'succeeded',
    result: 'the answer',
    attempts: [],
    callback: { url: `${receiverUrl}${path}` },
    created_at: '2026-11-23T10:00:00.000Z',
    finished_at: '2026-11-23T10:00:01.000Z',
  });
  return eventMessage({
    topic: topics.jobsFinished,
    type: 'millrace.job.succeeded.v1',
    id: `${tenant}:${jobId}:finished`,
    source: 'claude-worker',
    subject: jobId,
    key: jobId,
    time: new Date(),
    tenant,
    data: job,
    codec,
    context: ROOT_CONTEXT,
  });
}

function tenantChanged(tenant: string): OutgoingMessage {
  return eventMessage({
    topic: topics.tenantsChanged,
    type: 'millrace.tenant.changed.v1',
    id: `${tenant}:changed:1`,
    source: 'ingest',
    key: tenant,
    time: new Date(),
    tenant,
    data: { tenant, webhook_secrets: [secret], changed_at: new Date().toISOString() },
    codec,
    context: ROOT_CONTEXT,
  });
}

async function arrived(path: string, count = 1): Promise<readonly Received[]> {
  while ((received.get(path)?.length ?? 0) < count) {
    await new Promise<void>((resolve) => wakers.push(resolve));
  }
  return received.get(path) ?? [];
}

describe('webhook-dispatcher', () => {
  it('delivers a finished job whose tenant becomes known later, once', async () => {
    const event = finished('job-1', '/late');
    await publisher.publish([event, event]);
    await publisher.publish([tenantChanged('default')]);
    const [webhook] = await arrived('/late');
    if (webhook === undefined) throw new Error('nothing arrived');
    const headers = Object.fromEntries(
      Object.entries(webhook.headers).map(([name, value]) => [name, String(value)]),
    );
    expect(new Webhook(secret).verify(webhook.body, headers)).toMatchObject({
      job_id: 'job-1',
      result: 'the answer',
    });
    // What is published after it on the same partition was seen after it.
    await publisher.publish([event, finished('job-1', '/unused')]);
    await publisher.publish([finished('job-2', '/next')]);
    await arrived('/next');
    expect(received.get('/late')).toHaveLength(1);
  });

  it('sends the record of a delivery that failed for good to the dead letters', async () => {
    const event = finished('job-3', '/broken');
    await publisher.publish([event]);
    await arrived('/broken', 2);
    const letters = await deadLetters.waitFor(1);
    expect(letters[0]).toMatchObject({
      value: event.value,
      key: Buffer.from('job-3'),
      headers: {
        ...event.headers,
        'dlq-reason': 'delivery_exhausted',
        'dlq-topic': 'jobs.finished.v1',
        'dlq-service': 'webhook-dispatcher',
        'dlq-attempts': '2',
      },
    });
  });

  it('tries a delivery that was given up again, with a schedule of its own', async () => {
    const path = '/broken-for-long';
    const event = finished('job-5', path);
    const again = (cause: string): OutgoingMessage => ({
      ...event,
      headers: { ...event.headers, [redriveHeader]: cause },
    });
    const letters = () =>
      deadLetters.messages.filter(({ headers }) => headers['ce_id'] === event.headers['ce_id']);
    await publisher.publish([event]);
    await deadLetters.waitFor(() => letters().length === 1);
    await publisher.publish([again('dl_1:1')]);
    await deadLetters.waitFor(() => letters().length === 2);
    expect(letters()[1]).toMatchObject({
      value: event.value,
      headers: { 'dlq-attempts': '2', 'dlq-reason': 'delivery_exhausted' },
    });
    expect(letters()[1]?.headers).not.toHaveProperty(redriveHeader);

    repaired.add(path);
    // The cause that woke it before wakes it no more, however often its record comes.
    await publisher.publish([again('dl_1:1'), again('dl_2:1'), again('dl_2:1')]);
    const webhooks = await arrived(path, 5);
    await publisher.publish([again('dl_3:1'), finished('job-5b', '/after-redrive')]);
    await arrived('/after-redrive');
    expect(received.get(path)).toHaveLength(5);
    expect(new Set(webhooks.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
  });

  it('delivers what is asked for again although its delivery is gone', async () => {
    const event = finished('job-6', '/forgotten');
    await publisher.publish([
      { ...event, headers: { ...event.headers, [redriveHeader]: 'dl_4:1' } },
    ]);
    expect(await arrived('/forgotten')).toHaveLength(1);
  });

  it('sends only what was never sent when ends are told again', async () => {
    const told = finished('job-7', '/told');
    const lost = finished('job-8', '/lost');
    await publisher.publish([told]);
    await arrived('/told');
    // One partition for all: what comes last was seen last.
    const again = [told, lost, told, lost, finished('job-9', '/after-all')];
    await publisher.publish(again.map((event) => ({ ...event, key: 'one' })));
    await arrived('/after-all');
    await arrived('/lost');
    expect(received.get('/told')).toHaveLength(1);
    expect(received.get('/lost')).toHaveLength(1);
  });

  it('tells the other endpoints of a tenant when one of them says that it is gone', async () => {
    const pool = createPool({
      url: database.url('webhook_dispatcher'),
      max: 1,
      applicationName: 'spec',
    });
    const type = 'millrace.endpoint.disabled.v1';
    const url = (path: string) => `${receiverUrl}${path}`;
    await addEndpoint(pool, { url: url('/witness'), eventTypes: [type] });
    const gone = await addEndpoint(pool, {
      url: url('/gone'),
      eventTypes: ['millrace.job.succeeded.v1'],
    });
    await pool.end();
    // What is remembered of endpoints is two seconds old at most.
    for (let job = 0; received.get('/gone') === undefined; job += 1) {
      await publisher.publish([finished(`gone-${job}`, `/before-gone-${job}`)]);
      await arrived(`/before-gone-${job}`);
    }
    const [notice, ...more] = await arrived('/witness');
    expect(more).toEqual([]);
    expect(JSON.parse(notice?.body ?? '')).toMatchObject({
      type,
      data: { endpoint: gone, reason: 'gone', url: url('/gone') },
    });
  });

  it('puts a record that cannot be read aside, and goes on', async () => {
    const { headers } = finished('job-4', '/unused');
    const broken: OutgoingMessage = {
      topic: topics.jobsFinished.name,
      key: 'job-4',
      headers,
      value: Buffer.from('{"job_id":'),
    };
    await publisher.publish([broken, finished('job-4', '/good')]);
    await arrived('/good');
    const letters = await deadLetters.waitFor((seen) =>
      seen.some((letter) => letter.headers['dlq-reason'] === 'malformed_json'),
    );
    expect(letters.at(-1)?.value).toEqual(broken.value);
  });
});

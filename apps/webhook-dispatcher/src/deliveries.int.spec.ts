import { createServer } from 'node:http';

import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import {
  deliveriesPath,
  httpHeaders,
  IdentityPayloadCodec,
  jobDeliveriesSchema,
  topics,
  type JobDelivery,
} from '@millrace/contracts';
import { createKafka, eventMessage, Publisher } from '@millrace/kafka';
import { createPool, type Pool } from '@millrace/postgres';
import {
  Metrics,
  parseConfig,
  RuntimeModule,
  ServiceTransport,
  SilentLogger,
} from '@millrace/runtime';
import {
  createTestDatabase,
  createTestTopics,
  type TestDatabase,
  type TestTopics,
} from '@millrace/testing';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { ROOT_CONTEXT } from '@opentelemetry/api';

import { configSchema } from './config.ts';
import { webhookIdOf } from './core/webhook-id.ts';
import { addEndpoint, until } from './dispatcher-world.fixture.ts';
import { WebhookDispatcherModule } from './webhook-dispatcher.module.ts';

jest.setTimeout(60_000);

const internalKey = Buffer.alloc(32, 5).toString('base64url');
const createdAt = '2026-11-23T23:59:59.000Z';
const day = '2026-11-23';
const log = new SilentLogger();
const codec = new IdentityPayloadCodec();

let database: TestDatabase;
let isolated: TestTopics;
let publisher: Publisher;
let app: NestFastifyApplication;
let receiverUrl: string;
let pool: Pool;
let posts = 0;

/** `/good` takes everything, `/down` nothing, any other path all but the first POST. */
const failed = new Set<string>();
const receiver = createServer((request, response) => {
  const path = request.url ?? '';
  posts += 1;
  const takes = path === '/good' || (path !== '/down' && failed.has(path));
  response.statusCode = takes ? 200 : 500;
  failed.add(path);
  request.resume().on('end', () => response.end());
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
  pool = createPool({ url: database.url('webhook_dispatcher'), max: 1, applicationName: 'spec' });
  app = await startDispatcher();
  await publishTenant();
});

afterAll(async () => {
  await app?.get(ServiceTransport).close();
  await app?.close();
  await publisher?.disconnect();
  await pool?.end();
  receiver.closeAllConnections();
  receiver.close();
  await isolated?.drop();
  await database?.drop();
});

async function startDispatcher(): Promise<NestFastifyApplication> {
  const config = parseConfig(configSchema, {
    KAFKA_BROKERS: isolated.brokers.join(','),
    DATABASE_URL: database.url('webhook_dispatcher'),
    API_DATABASE_URL: database.url('webhook_dispatcher_api'),
    HTTP_PORT: '1',
    MILLRACE_EGRESS_ALLOWED_CIDRS: '127.0.0.0/8,::1/128',
    MILLRACE_INTERNAL_KEY: internalKey,
    RETRY_SCHEDULE_MS: '0,10,3600000',
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

async function publishTenant(): Promise<void> {
  const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
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

/** Tells the end of a job, twice: it is one delivery. */
async function finish(jobId: string, path: string): Promise<void> {
  const message = eventMessage({
    topic: topics.jobsFinished,
    type: 'millrace.job.succeeded.v1',
    id: `default:${jobId}:finished`,
    source: 'claude-worker',
    subject: jobId,
    key: jobId,
    time: new Date(),
    tenant: 'default',
    data: {
      tenant: 'default',
      job_id: jobId,
      type: 'message',
      status: 'succeeded',
      attempts: [],
      callback: { url: `${receiverUrl}${path}` },
      created_at: createdAt,
      finished_at: createdAt,
    },
    codec,
    context: ROOT_CONTEXT,
  });
  await publisher.publish([message, message]);
}

function ask(query: Record<string, string>, headers: Record<string, string>) {
  return app.inject({ method: 'GET', url: deliveriesPath, query, headers });
}

async function deliveriesOf(query: Record<string, string>): Promise<JobDelivery[]> {
  const answer = await ask(query, { [httpHeaders.internalKey]: internalKey });
  expect(answer.statusCode).toBe(200);
  return jobDeliveriesSchema.parse(answer.json()).deliveries;
}

async function deliveryWhen(
  jobId: string,
  holds: (delivery: JobDelivery) => boolean,
): Promise<JobDelivery> {
  for (;;) {
    const [delivery] = await deliveriesOf({ tenant: 'default', job_id: jobId, day });
    if (delivery !== undefined && holds(delivery)) return delivery;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe('what webhook-dispatcher tells of a job', () => {
  it('is every attempt of its webhook, oldest first, with outcome, class and timings', async () => {
    await finish('flaky', '/flaky');
    const delivery = await deliveryWhen('flaky', ({ state }) => state === 'delivered');
    expect(delivery).toEqual({
      webhook_id: webhookIdOf('default:flaky:finished'),
      state: 'delivered',
      attempts: [
        expect.objectContaining({
          number: 1,
          outcome: 'retry',
          class: 'server_error',
          http_status: 500,
        }),
        expect.objectContaining({ number: 2, outcome: 'delivered', http_status: 200 }),
      ],
    });
    const [first, second] = delivery.attempts;
    expect(second).not.toHaveProperty('class');
    expect(first!.timings_ms.total).toBeGreaterThan(0);
    expect(Date.parse(first!.ended_at)).toBeGreaterThanOrEqual(Date.parse(first!.started_at));
    expect(Date.parse(second!.started_at)).toBeGreaterThanOrEqual(Date.parse(first!.started_at));
  });

  it('says when a webhook that failed is tried again', async () => {
    const before = Date.now();
    await finish('down', '/down');
    // The third attempt is an hour away.
    const delivery = await deliveryWhen('down', ({ attempts }) => attempts.length === 2);
    expect(delivery.state).toBe('waiting');
    expect(Date.parse(delivery.next_attempt_at!) - before).toBeGreaterThan(2_000_000);
  });

  it('is what became of it at every endpoint as well, its callback first', async () => {
    const url = `${receiverUrl}/endpoint`;
    const endpoint = await addEndpoint(pool, { url, eventTypes: ['millrace.job.succeeded.v1'] });
    // What is remembered of endpoints is two seconds old at most.
    const both = await until(
      async () => {
        const jobId = `both-${Date.now()}`;
        await finish(jobId, '/good');
        await deliveryWhen(jobId, ({ state }) => state === 'delivered');
        return deliveriesOf({ tenant: 'default', job_id: jobId, day });
      },
      (deliveries) => deliveries.length === 2,
    );
    expect(both.map((each) => each.endpoint)).toEqual([undefined, endpoint]);
    expect(new Set(both.map((each) => each.webhook_id)).size).toBe(1);
  });

  it('is nothing for another tenant, another day or a job without a webhook', async () => {
    await finish('alone', '/good');
    await deliveryWhen('alone', ({ state }) => state === 'delivered');
    const job = { tenant: 'default', job_id: 'alone', day };
    expect(await deliveriesOf({ ...job, tenant: 'other' })).toEqual([]);
    expect(await deliveriesOf({ ...job, day: '2026-11-24' })).toEqual([]);
    expect(await deliveriesOf({ ...job, job_id: 'silent' })).toEqual([]);
  });
});

describe('the route to it', () => {
  const query = { tenant: 'default', job_id: 'flaky', day };

  it.each([
    ['without the key', {}],
    ['with another key', { [httpHeaders.internalKey]: internalKey.replace('B', 'C') }],
    ['with the beginning of the key', { [httpHeaders.internalKey]: internalKey.slice(0, -1) }],
    ['with an empty key', { [httpHeaders.internalKey]: '' }],
  ])('is shut %s, without a word about why', async (_, headers) => {
    const postsBefore = posts;
    const answer = await ask(query, headers);
    expect(answer.statusCode).toBe(401);
    expect(answer.body).not.toContain('flaky');
    expect(posts).toBe(postsBefore);
  });

  it.each([
    ['no day', { tenant: 'default', job_id: 'flaky' }],
    ['a day that is none', { ...query, day: '2026-02-30' }],
    ['a name that is none', { ...query, job_id: "'; --" }],
    ['more than it knows', { ...query, more: '1' }],
  ])('refuses %s', async (_, bad) => {
    const answer = await ask(bad, { [httpHeaders.internalKey]: internalKey });
    expect(answer.statusCode).toBe(400);
  });

  it('does not stand before the probes', async () => {
    expect((await app.inject({ method: 'GET', url: '/healthz' })).statusCode).toBe(200);
  });
});

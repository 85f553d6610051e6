import type { AddressInfo } from 'node:net';

import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { topics } from '@millrace/contracts';
import { StepsStrategy } from '@millrace/kafka';
import { createPool, type Pool } from '@millrace/postgres';
import { RuntimeModule, SilentLogger } from '@millrace/runtime';
import {
  KafkaReader,
  PostgresProxy,
  createTestDatabase,
  createTestTopics,
  type TestDatabase,
  type TestTopics,
} from '@millrace/testing';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Kafka, logLevel, type Producer } from 'kafkajs';

import { ingestEnvironment } from './config.ts';
import { httpOptions } from './http-options.ts';
import { IngestModule } from './ingest.module.ts';

jest.setTimeout(30_000);

const key = 'mr_default-key-for-the-specs-of-ingest';
/** Statements that end a commit: of a lone job, of a turn, of a record. */
const statements = { job: 'insert_jobs_with_outbox', turn: 'COMMIT', record: 'insert_jobs' };

let database: TestDatabase;
let testTopics: TestTopics;
let proxy: PostgresProxy;
let app: NestFastifyApplication;
let base: string;
let admin: Pool;
let producer: Producer;
let requested: KafkaReader;

async function boot(): Promise<NestFastifyApplication> {
  const config = ingestEnvironment.parse({
    KAFKA_BROKERS: testTopics.brokers.join(','),
    HTTP_PORT: '1',
    DATABASE_URL: proxy.url,
    API_DATABASE_URL: database.url('ingest_api'),
    MILLRACE_DEFAULT_API_KEY: key,
    MILLRACE_DEFAULT_WEBHOOK_SECRET: `whsec_${Buffer.alloc(32, 7).toString('base64')}`,
    MILLRACE_CLAUDE_STAND_IN: 'true',
  });
  class Root {}
  const runtime = RuntimeModule.forService(config, 'ingest', new SilentLogger());
  const ingest = IngestModule.forConfig(config, { topicPrefix: testTopics.prefix });
  const root = { module: Root, imports: [runtime, ingest] };
  const adapter = new FastifyAdapter(httpOptions);
  const created = await NestFactory.create<NestFastifyApplication>(root, adapter, {
    logger: false,
  });
  created.connectMicroservice({ strategy: created.get(StepsStrategy, { strict: false }) });
  await created.startAllMicroservices();
  await created.listen(0, '127.0.0.1');
  return created;
}

beforeAll(async () => {
  [database, testTopics] = await Promise.all([createTestDatabase(), createTestTopics()]);
  proxy = await PostgresProxy.start(database.url('ingest'));
  app = await boot();
  const address = app.getHttpServer().address() as AddressInfo;
  base = `http://127.0.0.1:${address.port}`;
  admin = createPool({ url: database.adminUrl, max: 2, applicationName: 'spec' });
  const kafka = new Kafka({ brokers: [...testTopics.brokers], logLevel: logLevel.NOTHING });
  producer = kafka.producer();
  await producer.connect();
  requested = await new KafkaReader(testTopics.prefix + topics.claudeRequested.name).start();
});

afterEach(() => proxy.accept());

afterAll(async () => {
  await requested?.stop();
  await producer?.disconnect();
  await app?.get(StepsStrategy, { strict: false }).close();
  await app?.close();
  await proxy?.stop();
  await admin?.end();
  await database?.drop();
  await testTopics?.drop();
});

type Json = ReturnType<typeof JSON.parse>;

async function post(body: object, idempotencyKey?: string) {
  const response = await fetch(`${base}/v1/jobs`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${key}`,
      'content-type': 'application/json',
      ...(idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }),
    },
    body: JSON.stringify(body),
  });
  const answer: Json = await response.json();
  return { status: response.status, headers: response.headers, body: answer };
}

async function submit(values: readonly string[]): Promise<void> {
  const topic = testTopics.prefix + topics.jobsSubmitted.name;
  const messages = values.map((value) => ({ key: 'k', value, partition: 0 }));
  await producer.send({ topic, messages });
}

async function idsLike(pattern: string): Promise<string[]> {
  const { rows } = await admin.query<{ id: string }>(
    'SELECT id FROM ingest.jobs WHERE id LIKE $1 ORDER BY id',
    [pattern],
  );
  return rows.map(({ id }) => id);
}

const requestsOf = (id: string) =>
  requested.messages.filter(({ headers }) => headers['ce_id'] === `default:${id}:requested`);

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** Whether all connections that ingest may open (12) wait for a lock. */
/** Connections of a role that wait for a lock. */
async function lockWaiters(role: string): Promise<number> {
  const { rowCount } = await admin.query(
    `SELECT FROM pg_stat_activity WHERE datname = current_database()
     AND usename = $1 AND wait_event_type = 'Lock'`,
    [role],
  );
  return rowCount ?? 0;
}

describe('a commit whose answer is lost', () => {
  it.each([
    ['a job', statements.job, {}],
    ['a turn', statements.turn, { session_id: 'cut' }],
  ])('%s is not acknowledged, sent all the same, and found again by its key', async (...given) => {
    const [what, statement, more] = given;
    const id = `cut-${what.replaceAll(' ', '-')}`;
    const body = { job_id: id, prompt: 'a', ...more };
    await post({ prompt: 'warms the pool', ...more });
    const cutsBefore = proxy.cuts;
    proxy.cutAfter(statement);
    const lost = await post(body);
    expect([lost.status, lost.body.code]).toEqual([503, 'not_durable']);
    expect(Number(lost.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(proxy.cuts).toBe(cutsBefore + 1);
    expect(await idsLike(id)).toEqual([id]);
    const again = await post(body);
    expect([again.status, again.headers.get('idempotent-replayed')]).toEqual([202, 'true']);
    // Only the outbox knows of its message: this process never heard of the commit.
    await requested.waitFor(() => requestsOf(id).length > 0);
    expect(await idsLike(id)).toEqual([id]);
  });

  it('a record comes again, and is one job', async () => {
    const cutsBefore = proxy.cuts;
    proxy.cutAfter(statements.record);
    await submit(['{"job_id":"cut-record","prompt":"a"}']);
    await requested.waitFor(() => requestsOf('cut-record').length > 0);
    expect(proxy.cuts).toBe(cutsBefore + 1);
    expect(await idsLike('cut-record')).toEqual(['cut-record']);
  });
});

describe('a connection that is reset inside a transaction', () => {
  it('leaves nothing behind: 503, no row, and the session has no hole', async () => {
    const turn = (id: string) => ({ job_id: id, prompt: 'a', session_id: 'reset' });
    expect((await post(turn('reset-1'))).status).toBe(202);
    const cut = proxy.cutBeforeCommitOf('insert_turns');
    const lost = await post(turn('reset-2'));
    await cut;
    expect([lost.status, lost.body.code]).toEqual([503, 'not_durable']);
    expect(await idsLike('reset-%')).toEqual(['reset-1']);
    expect((await post(turn('reset-3'))).status).toBe(202);
    const again = await post(turn('reset-2'));
    expect([again.status, again.headers.get('idempotent-replayed')]).toEqual([202, null]);
    const ids = ['reset-1', 'reset-3', 'reset-2'];
    await requested.waitFor(() => ids.every((id) => requestsOf(id).length > 0));
    const seqs = ids.map((id) => JSON.parse(String(requestsOf(id)[0]?.value)).session_seq);
    expect(seqs).toEqual([1, 2, 3]);
  });
});

describe('while connections are refused', () => {
  it('answers 503 soon, stores nothing, and takes records afterwards', async () => {
    await post({ prompt: 'proves the key' });
    proxy.refuse();
    const beganAtMs = performance.now();
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, n) => post({ job_id: `refused-${n}`, prompt: 'a' })),
    );
    expect(performance.now() - beganAtMs).toBeLessThan(10_000);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([503]));
    expect(answers.every(({ headers }) => Number(headers.get('retry-after')) > 0)).toBe(true);
    expect(await idsLike('refused-%')).toEqual([]);
    await submit(['{"job_id":"later-1","prompt":"a"}', '{"job_id":"later-2","prompt":"a"}']);
    proxy.accept();
    await until(async () => (await idsLike('later-%')).length === 2);
  });
});

describe('a pool without a free connection', () => {
  it('answers 503 in bounded time, and what was not acknowledged may be repeated', async () => {
    await post({ prompt: 'proves the key' });
    const blocker = await admin.connect();
    let hanging: Promise<Response>[] = [];
    try {
      await blocker.query('BEGIN');
      // Every key that is not known yet is looked up over the pool that takes jobs in.
      await blocker.query('LOCK TABLE ingest.api_keys IN ACCESS EXCLUSIVE MODE');
      hanging = Array.from({ length: 60 }, (_, i) => {
        const authorization = `Bearer mr_unknown-key-of-these-specs-${i}`;
        return fetch(`${base}/v1/jobs`, { headers: { authorization } });
      });
      await until(async () => (await lockWaiters('ingest')) >= 12);
      const beganAtMs = performance.now();
      const answer = await post({ job_id: 'hung', prompt: 'a' });
      expect([answer.status, answer.body.code]).toEqual([503, 'not_durable']);
      expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
      expect(performance.now() - beganAtMs).toBeLessThan(10_000);
    } finally {
      await blocker.query('ROLLBACK');
      blocker.release();
      await Promise.all(hanging);
    }
    expect(await idsLike('hung')).toEqual([]);
    expect((await post({ job_id: 'hung', prompt: 'a' })).status).toBe(202);
  });
});

describe('reads that hang', () => {
  it('hold up no job: they have connections of their own', async () => {
    await post({ prompt: 'proves the key' });
    const blocker = await admin.connect();
    let hanging: Promise<Response>[] = [];
    try {
      await blocker.query('BEGIN');
      await blocker.query('LOCK TABLE ingest.dead_letters IN ACCESS EXCLUSIVE MODE');
      const headers = { authorization: `Bearer ${key}` };
      hanging = Array.from({ length: 60 }, () => fetch(`${base}/v1/dead-letters`, { headers }));
      await until(async () => (await lockWaiters('ingest_api')) >= 6);
      expect((await post({ prompt: 'is taken in' })).status).toBe(202);
    } finally {
      await blocker.query('ROLLBACK');
      blocker.release();
      await Promise.all(hanging);
    }
  });
});

describe('one key, a hundred times at once', () => {
  it('is one job: 99 same answers, marked as replayed', async () => {
    const body = { prompt: 'same', session_id: 'hundred' };
    const answers = await Promise.all(Array.from({ length: 100 }, () => post(body, 'k-100')));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]));
    expect(new Set(answers.map(({ body: one }) => JSON.stringify(one))).size).toBe(1);
    const replayed = answers.filter(({ headers }) => headers.get('idempotent-replayed') === 'true');
    expect(replayed).toHaveLength(99);
    const { rows } = await admin.query(
      `SELECT last_seq FROM ingest.sessions WHERE id = 'hundred'`,
    );
    expect(rows).toEqual([{ last_seq: 1 }]);
  });
});

describe('characters that Postgres cannot hold as text', () => {
  const odd = [
    ['zero-prompt', { prompt: 'a\u0000b' }],
    ['half-prompt', { prompt: 'a\ud800b' }],
    ['zero-metadata', { prompt: 'a', metadata: { 'k\u0000': 'v\u0000' } }],
    ['half-metadata', { prompt: 'a', metadata: { k: '\udc00' } }],
    ['zero-session', { prompt: 'a', session_id: 's\u0000' }],
    ['half-id\ud800', { prompt: 'a' }],
    ['zero-id\u0000', { prompt: 'a' }],
  ] as const;

  it('delay nobody in the same batch', async () => {
    const values = odd.flatMap(([id, body], n) => [
      JSON.stringify({ job_id: id, ...body }),
      JSON.stringify({ job_id: `beside-${n}`, prompt: 'a' }),
    ]);
    await submit(values);
    await until(async () => (await idsLike('beside-%')).length === odd.length);
    await requested.waitFor(() => odd.every((_, n) => requestsOf(`beside-${n}`).length > 0));
  });

  it.each(odd)('%j is taken or refused by HTTP, never an inner error', async (id, body) => {
    const { status } = await post({ job_id: `http-${id}`, ...body });
    expect([202, 400]).toContain(status);
  });
});

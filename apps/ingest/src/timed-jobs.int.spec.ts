import type { AddressInfo } from 'node:net';

import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import {
  cloudEventHeaders,
  defaultTenant,
  IdentityPayloadCodec,
  jobIdSchema,
  jobSubmissionSchema,
  topics,
  type JobFinished,
  type Topic,
} from '@millrace/contracts';
import { StepsStrategy } from '@millrace/kafka';
import { createPool, type Pool } from '@millrace/postgres';
import { RuntimeModule, SilentLogger } from '@millrace/runtime';
import {
  createTestDatabase,
  createTestTopics,
  KafkaReader,
  type ReadMessage,
  type TestDatabase,
  type TestTopics,
} from '@millrace/testing';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Kafka, logLevel, type Producer } from 'kafkajs';

import { PostgresSilentJobs } from './adapters/postgres-silent-jobs.ts';
import { ingestEnvironment } from './config.ts';
import { judgeSubmission } from './core/judge-submission.ts';
import type { SilenceTimes } from './core/silence.ts';
import { httpOptions } from './http-options.ts';
import { IngestModule } from './ingest.module.ts';
import { JobPreparation } from './job-preparation.ts';
import { IntakePolicy, Jobs } from './ports.ts';

jest.setTimeout(60_000);

const key = 'mr_default-key-for-the-specs-of-timed-jobs';
const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
/** Far above what lies between a job's time of acceptance and its commit on a busy machine. */
const silence: SilenceTimes = { silentMs: 3_000, republishMsMax: 1_000, lookEveryMs: 300 };

let database: TestDatabase;
let testTopics: TestTopics;
let admin: Pool;
let producer: Producer;
let requested: KafkaReader;
let finished: KafkaReader;
const replicas: NestFastifyApplication[] = [];
let bases: string[] = [];

async function boot(): Promise<NestFastifyApplication> {
  const config = ingestEnvironment.parse({
    KAFKA_BROKERS: testTopics.brokers.join(','),
    HTTP_PORT: '1',
    DATABASE_URL: database.url('ingest'),
    API_DATABASE_URL: database.url('ingest_api'),
    MILLRACE_DEFAULT_API_KEY: key,
    MILLRACE_DEFAULT_WEBHOOK_SECRET: secret,
    MILLRACE_EGRESS_ALLOWED_CIDRS: '127.0.0.0/8',
  });
  class Root {}
  const runtime = RuntimeModule.forService(config, 'ingest', new SilentLogger());
  const options = { topicPrefix: testTopics.prefix, silence };
  const root = { module: Root, imports: [runtime, IngestModule.forConfig(config, options)] };
  const adapter = new FastifyAdapter({
    routerOptions: { maxParamLength: 256 },
    ...httpOptions,
  });
  const app = await NestFactory.create<NestFastifyApplication>(root, adapter, { logger: false });
  app.connectMicroservice({ strategy: app.get(StepsStrategy, { strict: false }) });
  await app.startAllMicroservices();
  await app.listen(0, '127.0.0.1');
  replicas.push(app);
  return app;
}

beforeAll(async () => {
  [database, testTopics] = await Promise.all([createTestDatabase(), createTestTopics()]);
  await boot();
  await boot();
  bases = replicas.map((app) => {
    const address: AddressInfo | string | null = app.getHttpServer().address();
    if (address === null || typeof address === 'string') throw new TypeError('no port');
    return `http://127.0.0.1:${address.port}`;
  });
  admin = createPool({ url: database.adminUrl, max: 2, applicationName: 'spec' });
  const kafka = new Kafka({ brokers: [...testTopics.brokers], logLevel: logLevel.NOTHING });
  producer = kafka.producer();
  await producer.connect();
  const read = ({ name }: Topic) => new KafkaReader(testTopics.prefix + name).start();
  requested = await read(topics.claudeRequested);
  finished = await read(topics.jobsFinished);
});

afterAll(async () => {
  await Promise.all([requested, finished].map((reader) => reader?.stop()));
  await producer?.disconnect();
  for (const app of replicas) {
    await app.get(StepsStrategy, { strict: false }).close();
    await app.close();
  }
  await admin?.end();
  await database?.drop();
  await testTopics?.drop();
});

/** What `JSON.parse` gives: a spec states what it expects to find in it. */
type Json = ReturnType<typeof JSON.parse>;

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Json;
}

async function call(
  method: string,
  path: string,
  o: { body?: unknown; key?: string; replica?: number } = {},
): Promise<Answer> {
  const response = await fetch((bases[o.replica ?? 0] ?? '') + path, {
    method,
    headers: {
      authorization: `Bearer ${key}`,
      ...(o.body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(o.key === undefined ? {} : { 'idempotency-key': o.key }),
    },
    ...(o.body === undefined ? {} : { body: JSON.stringify(o.body) }),
  });
  const text = await response.text();
  const body: Json = text === '' ? undefined : JSON.parse(text);
  return { status: response.status, headers: response.headers, body };
}

const submit = (fields: object, idempotencyKey?: string) =>
  call('POST', '/v1/jobs', {
    body: { prompt: 'p', ...fields },
    ...(idempotencyKey === undefined ? {} : { key: idempotencyKey }),
  });
const cancel = (id: string, replica = 0) => call('POST', `/v1/jobs/${id}/cancel`, { replica });
const get = async (id: string) => (await call('GET', `/v1/jobs/${id}`, { replica: 1 })).body;
const ahead = (ms: number): string => new Date(Date.now() + ms).toISOString();

async function until<T>(look: () => Promise<T | undefined | false> | T | undefined | false) {
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const becomes = (id: string, status: string): Promise<Json> =>
  until(async () => {
    const job = await get(id);
    return job.status === status ? job : undefined;
  });

/** Messages by their id, as far as they were looked at: hundreds are waited for at once. */
const known = new Map<string, ReadMessage[]>();
const seen = new Map<KafkaReader, number>();

function messagesOf(reader: KafkaReader, id: string): readonly ReadMessage[] {
  const { messages } = reader;
  for (const message of messages.slice(seen.get(reader) ?? 0)) {
    const ceId = message.headers['ce_id'] ?? '';
    known.set(ceId, [...(known.get(ceId) ?? []), message]);
  }
  seen.set(reader, messages.length);
  return known.get(id) ?? [];
}

const requestsOf = (id: string) => messagesOf(requested, `default:${id}:requested`);
const cancelsOf = (id: string) => messagesOf(requested, `default:${id}:cancel-requested`);
const endsOf = (id: string) => messagesOf(finished, `default:${id}:finished`);
const requestOf = async (id: string, times = 1): Promise<Json> => {
  await requested.waitFor(() => requestsOf(id).length >= times);
  return JSON.parse(String(requestsOf(id)[times - 1]?.value));
};
const endOf = async (id: string): Promise<Json> => {
  await finished.waitFor(() => endsOf(id).length > 0);
  expect(new Set(endsOf(id).map(({ value }) => String(value))).size).toBe(1);
  return JSON.parse(String(endsOf(id)[0]?.value));
};

async function count(text: string, values: unknown[] = []): Promise<number> {
  const { rows } = await admin.query<{ n: number }>(`SELECT count(*)::int AS n ${text}`, values);
  return rows[0]?.n ?? 0;
}

const isWaiting = async (id: string): Promise<boolean> =>
  (await count('FROM ingest.releases WHERE id = $1', [id])) === 1;

async function publish(topic: Topic, type: string, o: { key: string; data: object }) {
  const headers = {
    [cloudEventHeaders.id]: `default:${o.key}:finished`,
    [cloudEventHeaders.source]: '/millrace/claude-worker',
    [cloudEventHeaders.type]: type,
    [cloudEventHeaders.specVersion]: '1.0',
    [cloudEventHeaders.tenant]: 'default',
  };
  const message = { key: o.key, value: JSON.stringify(o.data), headers };
  await producer.send({ topic: testTopics.prefix + topic.name, messages: [message] });
}

/** Ends a job as its runner does. */
async function finish(id: string): Promise<void> {
  const { created_at, type } = await get(id);
  const data: JobFinished = {
    tenant: defaultTenant,
    job_id: jobIdSchema.parse(id),
    type,
    status: 'succeeded',
    result: 'Hello',
    attempts: [],
    created_at,
    finished_at: new Date().toISOString(),
  };
  await publish(topics.jobsFinished, 'millrace.job.succeeded.v1', { key: id, data });
}

describe('a job with a run_at', () => {
  it('is accepted at once, and released when its time has come', async () => {
    const runAt = ahead(1_500);
    const { body, status } = await submit({ run_at: runAt });
    expect(status).toBe(202);
    expect(body).toMatchObject({ status: 'queued', run_at: runAt });
    expect(await get(body.id)).toEqual(body);
    expect(await isWaiting(body.id)).toBe(true);
    expect(requestsOf(body.id)).toHaveLength(0);
    const request = await requestOf(body.id);
    expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(runAt));
    expect(request).toMatchObject({ call_id: body.id, reply: { created_at: body.created_at } });
    const [message] = requestsOf(body.id);
    expect(message?.headers['traceparent']).toContain(body.trace_id);
    expect(await isWaiting(body.id)).toBe(false);
  });

  it('that has passed runs now', async () => {
    const { body } = await submit({ run_at: '2020-01-01T00:00:00+02:00' });
    expect(body.run_at).toBe('2019-12-31T22:00:00.000Z');
    await requestOf(body.id);
  });

  it('is the same job to one who asks again, and another time is another body', async () => {
    const runAt = ahead(600_000);
    const first = await submit({ run_at: runAt }, 'k-run-at');
    const again = await submit({ run_at: runAt }, 'k-run-at');
    expect(again.headers.get('idempotent-replayed')).toBe('true');
    expect(again.body).toEqual(first.body);
    expect((await submit({ run_at: ahead(700_000) }, 'k-run-at')).status).toBe(409);
    expect((await submit({}, 'k-run-at')).status).toBe(409);
    await cancel(first.body.id);
  });

  it('comes from Kafka, too, and a record that comes again releases nothing', async () => {
    const body = { job_id: 'from-kafka', prompt: 'p', run_at: ahead(2_000) };
    for (const _ of [1, 2]) {
      await publish(topics.jobsSubmitted, 'millrace.job.submitted.v1', {
        key: 'k',
        data: body,
      });
    }
    const job = await until(async () => {
      const found = await get('from-kafka');
      return found.id === undefined ? undefined : found;
    });
    expect(job).toMatchObject({ status: 'queued', run_at: body.run_at });
    await requestOf('from-kafka');
    expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(body.run_at));
  });

  it('takes its place in its session when it is released', async () => {
    const session_id = 's-run-at';
    // All three are accepted before it, also on a machine that is busy.
    const runAt = ahead(5_000);
    const early = await submit({ session_id, run_at: runAt });
    const now = await submit({ session_id });
    // Two replicas release: what is due in the same moment has no order between them.
    const afterwards = new Date(Date.parse(runAt) + 1_000).toISOString();
    const late = await submit({ session_id, run_at: afterwards });
    const ids = [now, early, late].map(({ body }) => body.id);
    const requests = await Promise.all(ids.map((id) => requestOf(id)));
    expect(requests.map(({ session_seq }) => session_seq)).toEqual([1, 2, 3]);
  });

  it.each([
    ['complete_by before run_at', { run_at: ahead(9_000), complete_by: ahead(8_000) }],
    ['complete_by in the past', { complete_by: ahead(-1_000) }],
    ['complete_by too far ahead', { complete_by: ahead(31 * 86_400_000) }],
    ['run_at too far ahead', { run_at: ahead(15 * 86_400_000) }],
    ['run_at without an offset', { run_at: '2027-01-01T00:00:00' }],
  ])('is refused with the field that is wrong: %s', async (what, fields) => {
    const { body, status } = await submit(fields);
    expect(status).toBe(400);
    expect(body).toMatchObject({ code: 'invalid_request' });
    expect(body.errors).toMatchObject([{ path: what.split(' ')[0] }]);
  });

  it('was accepted, however late one asks again', async () => {
    const complete_by = ahead(300);
    const first = await submit({ complete_by }, 'k-late');
    await until(() => Date.now() > Date.parse(complete_by));
    const again = await submit({ complete_by }, 'k-late');
    expect([again.status, again.body.id]).toEqual([202, first.body.id]);
    expect((await submit({ complete_by }, 'k-later')).status).toBe(400);
    expect(await requestOf(first.body.id)).toMatchObject({ complete_by });
    await finish(first.body.id);
  });
});

describe('a job that waits', () => {
  it('ends at once when it is cancelled, and everybody is told the same', async () => {
    const { body } = await submit({
      run_at: ahead(600_000),
      callback_url: 'http://127.0.0.1:9/x',
      metadata: { a: 'b' },
    });
    const cancelled = await cancel(body.id, 1);
    expect(cancelled.status).toBe(202);
    expect(cancelled.body).toMatchObject({ status: 'cancelled', error: { code: 'cancelled' } });
    expect(await get(body.id)).toMatchObject({
      status: 'cancelled',
      error: { code: 'cancelled' },
      finished_at: cancelled.body.finished_at,
    });
    expect(await endOf(body.id)).toMatchObject({
      status: 'cancelled',
      finished_at: cancelled.body.finished_at,
      callback: { url: 'http://127.0.0.1:9/x' },
      metadata: { a: 'b' },
    });
    expect((await cancel(body.id)).body).toEqual(await get(body.id));
    expect(cancelsOf(body.id)).toHaveLength(0);
    expect(await isWaiting(body.id)).toBe(false);
  });

  it('expires when nobody could release it in time', async () => {
    const { body } = await submit({ run_at: ahead(600_000), complete_by: ahead(900_000) });
    // As if no process had run meanwhile.
    await admin.query('UPDATE ingest.jobs SET complete_by = now() WHERE id = $1', [body.id]);
    const text = `UPDATE ingest.releases SET run_at = now() - interval '2 s' WHERE id = $1`;
    await admin.query(text, [body.id]);
    expect(await becomes(body.id, 'expired')).toMatchObject({
      error: { code: 'deadline_exceeded' },
    });
    expect(await endOf(body.id)).toMatchObject({ status: 'expired' });
    expect(requestsOf(body.id)).toHaveLength(0);
    expect((await cancel(body.id)).body).toMatchObject({ status: 'expired' });
  });

  it('is released once by two replicas, each turn in its dense place', async () => {
    const run_at = ahead(2_500);
    const bodies = Array.from({ length: 240 }, (_, i) => ({
      run_at,
      ...(i % 2 === 0 ? {} : { session_id: `s-many-${i % 6}` }),
    }));
    const jobs = await Promise.all(bodies.map((body) => submit(body)));
    const ids = jobs.map(({ body }) => body.id);
    await requested.waitFor(() => ids.every((id) => requestsOf(id).length > 0));
    expect(await count('FROM ingest.releases WHERE id = ANY($1)', [ids])).toBe(0);
    const seqs = new Map<string, number[]>();
    for (const id of ids) {
      expect(new Set(requestsOf(id).map(({ value }) => String(value))).size).toBe(1);
      const { session_id, session_seq } = await requestOf(id);
      if (session_id !== undefined) {
        seqs.set(session_id, [...(seqs.get(session_id) ?? []), session_seq]);
      }
    }
    expect(seqs.size).toBe(3);
    for (const given of seqs.values()) {
      expect(given.sort((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
    }
  });

  it('is cancelled or released or expires, and never two of them', async () => {
    const runAt = Date.now() + 2_500;
    const jobs = await Promise.all(
      Array.from({ length: 120 }, (_, i) =>
        submit({
          run_at: new Date(runAt + (i % 40)).toISOString(),
          // Of a third of them the time to end is over about when they fall due.
          ...(i % 3 === 0 ? { complete_by: new Date(runAt + (i % 40) + 5).toISOString() } : {}),
        }),
      ),
    );
    const ids: string[] = jobs.map(({ body }) => body.id);
    await until(() => Date.now() >= runAt - 20);
    await Promise.all(ids.flatMap((id) => [cancel(id, 0), cancel(id, 1)]));
    const told = (id: string): boolean => endsOf(id).length + requestsOf(id).length > 0;
    await until(() => ids.every(told));
    await until(async () => (await count('FROM ingest.outbox')) === 0);
    for (const id of ids) {
      const { status } = await get(id);
      if (requestsOf(id).length > 0) {
        // Its runner ends it, and was asked to.
        expect([status, endsOf(id).length]).toEqual(['queued', 0]);
        expect(cancelsOf(id).length).toBeGreaterThan(0);
      } else {
        expect((await endOf(id)).status).toBe(status);
        expect(cancelsOf(id)).toHaveLength(0);
      }
    }
    await Promise.all(ids.filter((id) => requestsOf(id).length > 0).map((id) => finish(id)));
  });
});

describe('a request that was lost', () => {
  /** The jobs of the specs before, which nobody runs, are out of the way. */
  beforeAll(async () => {
    await admin.query(
      `UPDATE ingest.jobs SET status = 'succeeded', finished_at = now()
       WHERE finished_at IS NULL`,
    );
    await until(async () => (await count('FROM ingest.silent_jobs')) === 0);
  });

  /** Commits a job and tells nobody, as a process does that dies between the two. */
  async function lose(fields: object): Promise<string> {
    const [app] = replicas;
    if (app === undefined) throw new TypeError('no replica');
    const id = jobIdSchema.parse(`lost-${Math.random().toString(36).slice(2)}`);
    const submission = jobSubmissionSchema.parse({ prompt: 'lost', ...fields });
    const judged = judgeSubmission(submission, app.get(IntakePolicy, { strict: false }).rules);
    if (!judged.ok) throw new TypeError('refused');
    const preparation = app.get(JobPreparation, { strict: false });
    const job = await preparation.prepare(
      {
        tenant: defaultTenant,
        source: 'http',
        idempotencyKey: null,
        traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
        createdAt: new Date(),
      },
      { id, order: judged.order },
    );
    const [inserted] = await app.get(Jobs, { strict: false }).insertRecorded([job]);
    expect(inserted).toMatchObject({ status: 'fulfilled', value: { kind: 'inserted' } });
    return id;
  }

  const silent = (id: string): Promise<number> =>
    count('FROM ingest.silent_jobs WHERE id = $1', [id]);

  it('is published after the silence, again and again, until the job has ended', async () => {
    const id = await lose({ session_id: 's-lost' });
    const at = Date.now();
    const request = await requestOf(id);
    expect(Date.now() - at).toBeGreaterThanOrEqual(silence.silentMs - 100);
    expect(request).toMatchObject({ call_id: id, session_id: 's-lost', session_seq: 1 });
    await requestOf(id, 3);
    expect(new Set(requestsOf(id).map(({ value }) => String(value))).size).toBe(1);
    const [message] = requestsOf(id);
    expect(message?.headers['traceparent']).toContain('a'.repeat(32));
    await finish(id);
    await becomes(id, 'succeeded');
    await until(async () => (await silent(id)) === 0);
  });

  it('is published again by its release, when the job had to wait', async () => {
    const { body } = await submit({ run_at: ahead(500) });
    await requestOf(body.id, 2);
    await finish(body.id);
    await until(async () => (await silent(body.id)) === 0);
  });

  it('is not looked for when the job waits, or has ended', async () => {
    const waiting = await submit({ run_at: ahead(600_000) });
    const ended = await submit({});
    const open = await submit({});
    await finish(ended.body.id);
    await becomes(ended.body.id, 'succeeded');
    await requestOf(open.body.id, 2);
    expect(requestsOf(waiting.body.id)).toHaveLength(0);
    expect(requestsOf(ended.body.id)).toHaveLength(1);
    await finish(open.body.id);
    await cancel(waiting.body.id);
  });
});

describe('the rate of republications', () => {
  const codec = new IdentityPayloadCodec();
  const never = () => {
    throw new TypeError('nothing is to be published');
  };

  it('is that of one process, whoever it is, and holds nothing up', async () => {
    const url = database.url('ingest');
    const pool = createPool({ url, max: 4, applicationName: 'spec' });
    const one = new PostgresSilentJobs({ pool, codec, times: silence });
    const client = await pool.connect();
    try {
      await client.query('BEGIN');
      await client.query('SELECT FROM ingest.silence FOR UPDATE');
      expect(await one.note()).toBe(0);
      expect(await one.republishDue(100, never)).toEqual({
        messages: [],
        givenUp: [],
        unreadable: [],
      });
    } finally {
      await client.query('ROLLBACK');
      client.release();
      await pool.end();
    }
  });
});

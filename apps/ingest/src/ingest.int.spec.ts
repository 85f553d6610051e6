import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';

import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import {
  cloudEventHeaders,
  deadLetterTopicOf,
  httpBodyBytesMax,
  inlineBodyBytesMax,
  kafkaRecordBytesMax,
  topics,
  type JobFinished,
  type Topic,
} from '@millrace/contracts';
import { createPool, type Pool } from '@millrace/postgres';
import { RuntimeModule, SilentLogger } from '@millrace/runtime';
import { StepsStrategy } from '@millrace/kafka';
import {
  KafkaReader,
  createTestDatabase,
  createTestTopics,
  type TestDatabase,
  type TestTopics,
} from '@millrace/testing';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { ROOT_CONTEXT } from '@opentelemetry/api';
import { Kafka, logLevel, type Producer } from 'kafkajs';

import { BlobPurge } from './blob-purge.ts';
import { KafkaTails } from './adapters/kafka-tails.ts';
import { ingestEnvironment } from './config.ts';
import { hashApiKey } from './core/api-key.ts';
import { httpOptions } from './http-options.ts';
import { DeadLettersConsumer } from './dead-letters.consumer.ts';
import { IngestModule } from './ingest.module.ts';
import { FinishedJobsConsumer } from './finished-jobs.consumer.ts';

jest.setTimeout(60_000);

const key = 'mr_default-key-for-the-specs-of-ingest';
const otherKey = 'mr_other-key-for-the-specs-of-ingest-00';
const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;

let database: TestDatabase;
let testTopics: TestTopics;
let app: NestFastifyApplication;
let base: string;
let admin: Pool;
let producer: Producer;
let requested: KafkaReader;
let finished: KafkaReader;
let deadLetters: KafkaReader;
let workflows: KafkaReader;

async function boot(): Promise<NestFastifyApplication> {
  const config = ingestEnvironment.parse({
    KAFKA_BROKERS: testTopics.brokers.join(','),
    HTTP_PORT: '1',
    DATABASE_URL: database.url('ingest'),
    API_DATABASE_URL: database.url('ingest_api'),
    MILLRACE_DEFAULT_API_KEY: key,
    MILLRACE_DEFAULT_WEBHOOK_SECRET: secret,
    MILLRACE_EGRESS_ALLOWED_CIDRS: '127.0.0.0/8',
    MILLRACE_CLAUDE_STAND_IN: 'true',
  });
  class Root {}
  const runtime = RuntimeModule.forService(config, 'ingest', new SilentLogger());
  const ingest = IngestModule.forConfig(config, { topicPrefix: testTopics.prefix });
  const root = { module: Root, imports: [runtime, ingest] };
  const adapter = new FastifyAdapter({
    routerOptions: { maxParamLength: 256 },
    ...httpOptions,
  });
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
  const read = (name: string) => new KafkaReader(testTopics.prefix + name).start();
  app = await boot();
  const address = app.getHttpServer().address() as AddressInfo;
  base = `http://127.0.0.1:${address.port}`;
  admin = createPool({ url: database.adminUrl, max: 2, applicationName: 'spec' });
  await admin.query(`INSERT INTO ingest.tenants (id, webhook_secrets) VALUES ('other', '[]')`);
  await admin.query(
    `INSERT INTO ingest.api_keys (key_hash, tenant, label) VALUES ($1, 'other', 'spec')`,
    [hashApiKey(otherKey)],
  );
  const kafka = new Kafka({ brokers: [...testTopics.brokers], logLevel: logLevel.NOTHING });
  producer = kafka.producer();
  await producer.connect();
  [requested, finished, deadLetters, workflows] = await Promise.all([
    read(topics.claudeRequested.name),
    read(topics.jobsFinished.name),
    read(deadLetterTopicOf(topics.jobsSubmitted.name)),
    read(topics.workflowsRequested.name),
  ]);
});

afterAll(async () => {
  const readers = [requested, finished, deadLetters, workflows];
  await Promise.all(readers.map((reader) => reader?.stop()));
  await producer?.disconnect();
  await app?.get(StepsStrategy, { strict: false }).close();
  await app?.close();
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
  o: { body?: unknown; raw?: string | Buffer; headers?: Record<string, string>; key?: string } = {},
): Promise<Answer> {
  const payload = o.raw ?? (o.body === undefined ? undefined : JSON.stringify(o.body));
  const response = await fetch(base + path, {
    method,
    headers: {
      authorization: `Bearer ${o.key ?? key}`,
      ...(payload === undefined ? {} : { 'content-type': 'application/json' }),
      ...o.headers,
    },
    ...(payload === undefined ? {} : { body: payload }),
  });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    body: text === '' ? undefined : JSON.parse(text),
  };
}

const post = (body: unknown, headers: Record<string, string> = {}) =>
  call('POST', '/v1/jobs', { body, headers });

async function until<T>(look: () => Promise<T | undefined | false>): Promise<T> {
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const jobBecomes = (id: string, status: string) =>
  until(async () => {
    const { body } = await call('GET', `/v1/jobs/${id}`);
    return body?.status === status ? body : undefined;
  });

const requestsOf = (id: string) =>
  requested.messages.filter(({ headers }) => headers['ce_id'] === `default:${id}:requested`);

const deadLettersOf = (code: string) =>
  deadLetters.messages.filter(({ headers }) => headers['dlq-reason'] === code);

/** The dead letter of this reason whose value reads so, once it is indexed. */
function letterWith(code: string, data: string): Promise<Json> {
  return until(async () => {
    const { body } = await call('GET', `/v1/dead-letters?topic=jobs.submitted.v1&code=${code}`);
    const page: { data: { id: string }[] } = body;
    for (const { id } of page.data) {
      const letter = await call('GET', `/v1/dead-letters/${id}`);
      if (letter.body.value?.data === data) return letter.body;
    }
    return undefined;
  });
}

async function submitRecord(
  value: string | Buffer | null,
  headers: Record<string, string> = {},
): Promise<void> {
  const topic = testTopics.prefix + topics.jobsSubmitted.name;
  await producer.send({ topic, messages: [{ key: 'k', value, headers, partition: 0 }] });
}

/** A runner copies the time of acceptance from the request. */
async function acceptanceOf(topic: Topic, jobId: string): Promise<{ created_at?: string }> {
  if (topic === topics.claudeDeltas) return {};
  const { rows } = await admin.query<{ created_at: Date }>(
    `SELECT created_at FROM ingest.jobs WHERE tenant = 'default' AND id = $1`,
    [jobId],
  );
  const [row] = rows;
  return row === undefined ? {} : { created_at: row.created_at.toISOString() };
}

async function publish(
  topic: Topic,
  o: { type: string; id: string; key: string; data: object; times?: number },
): Promise<void> {
  const message = {
    key: o.key,
    value: JSON.stringify({ ...o.data, ...(await acceptanceOf(topic, o.key)) }),
    headers: {
      [cloudEventHeaders.id]: o.id,
      [cloudEventHeaders.source]: '/millrace/claude-worker',
      [cloudEventHeaders.type]: o.type,
      [cloudEventHeaders.specVersion]: '1.0',
      [cloudEventHeaders.tenant]: 'default',
    },
  };
  const messages = Array.from({ length: o.times ?? 1 }, () => message);
  await producer.send({ topic: testTopics.prefix + topic.name, messages });
}

function endOf(id: string, more: Partial<JobFinished> = {}): JobFinished {
  const at = '2026-11-23T10:00:00.000Z';
  return {
    tenant: 'default',
    job_id: id,
    type: 'message',
    status: 'succeeded',
    model: 'claude-sonnet-5-5',
    result: 'Hello there',
    message: { id: 'msg_1', content: [{ type: 'text', text: 'Hello there' }] },
    usage: { input_tokens: 3, output_tokens: 2 },
    attempts: [{ number: 1, outcome: 'succeeded', started_at: at, ended_at: at }],
    stand_in: true,
    created_at: at,
    finished_at: new Date().toISOString(),
    ...more,
  } as JobFinished;
}

const finish = (id: string, more: Partial<JobFinished> = {}, times = 1) =>
  publish(topics.jobsFinished, {
    type: `millrace.job.${more.status ?? 'succeeded'}.v1`,
    id: `default:${id}:finished`,
    key: id,
    data: endOf(id, more),
    times,
  });

const delta = (id: string, start: number, text: string, o: { attempt?: number } = {}) =>
  publish(topics.claudeDeltas, {
    type: 'millrace.claude.delta.v1',
    id: `default:${id}:${o.attempt ?? 1}:${start}`,
    key: `default/${id}`,
    data: { tenant: 'default', job_id: id, turn: 1, attempt: o.attempt ?? 1, start, text },
  });

describe('POST /v1/jobs', () => {
  it('makes a job durable, answers 202 and publishes its request once', async () => {
    const answer = await post(
      { prompt: 'Hi', callback_url: 'http://127.0.0.1:9/x', metadata: { a: 'b' } },
      { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' },
    );
    expect(answer.status).toBe(202);
    const { id } = answer.body;
    expect(id).toMatch(/^job_[0-9A-Z]{26}$/);
    expect(answer.headers.get('location')).toBe(`/v1/jobs/${id}`);
    expect(answer.headers.get('idempotent-replayed')).toBeNull();
    expect(answer.body).toMatchObject({ status: 'queued', type: 'message', lane: 'standard' });
    expect(answer.body.trace_id).toBe('0af7651916cd43dd8448eb211c80319c');
    await requested.waitFor(() => requestsOf(id).length > 0);
    const [message] = requestsOf(id);
    expect(message!.key!.toString()).toBe(`default/${id}`);
    expect(message!.headers).toMatchObject({
      ce_type: 'millrace.claude.requested.v1',
      ce_subject: id,
      traceparent: expect.stringContaining('0af7651916cd43dd8448eb211c80319c'),
    });
    const data = JSON.parse(message!.value!.toString());
    expect(topics.claudeRequested.types['millrace.claude.requested.v1'].parse(data)).toEqual({
      tenant: 'default',
      call_id: id,
      lane: 'standard',
      stream: false,
      params: {
        model: 'claude-sonnet-5-5',
        max_tokens: 8192,
        messages: [{ role: 'user', content: 'Hi' }],
      },
      reply: {
        kind: 'job',
        callback: { url: 'http://127.0.0.1:9/x' },
        metadata: { a: 'b' },
        created_at: answer.body.created_at,
      },
    });
    const { body } = await call('GET', `/v1/jobs/${id}`);
    expect(body).toEqual({ ...answer.body, metadata: { a: 'b' } });
  });

  it('gives 20 submissions at once with one key one job', async () => {
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => post({ prompt: 'same' }, { 'idempotency-key': 'k-20' })),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]));
    expect(new Set(answers.map(({ body }) => body.id)).size).toBe(1);
    const replayed = answers.filter(({ headers }) => headers.get('idempotent-replayed'));
    expect(replayed).toHaveLength(19);
    const { rows } = await admin.query(
      `SELECT count(*)::int AS n FROM ingest.jobs WHERE idempotency_key = 'k-20'`,
    );
    expect(rows[0].n).toBe(1);
  });

  it('replays the same content in any order of keys, and refuses other content', async () => {
    const headers = { 'idempotency-key': 'k-order' };
    const first = await post({ prompt: 'a', lane: 'bulk', metadata: { x: '1', y: '2' } }, headers);
    const again = await post({ metadata: { y: '2', x: '1' }, lane: 'bulk', prompt: 'a' }, headers);
    const other = await post({ prompt: 'b' }, headers);
    expect(again.body.id).toBe(first.body.id);
    expect(again.headers.get('idempotent-replayed')).toBe('true');
    expect(other.status).toBe(409);
    expect(other.body).toMatchObject({ code: 'idempotency_conflict', status: 409 });
  });

  it('takes job_id as the key, and a key with another job_id as a conflict', async () => {
    const first = await post({ job_id: 'mine', prompt: 'a' }, { 'idempotency-key': 'k-mine' });
    expect(first.body.id).toBe('mine');
    const again = await post({ job_id: 'mine', prompt: 'a' });
    expect([again.status, again.headers.get('idempotent-replayed')]).toEqual([202, 'true']);
    expect((await post({ job_id: 'mine', prompt: 'b' })).status).toBe(409);
    const moved = await post({ job_id: 'mine-2', prompt: 'a' }, { 'idempotency-key': 'k-mine' });
    expect(moved.status).toBe(409);
  });

  it('keeps tenants apart: same key, same id, another job', async () => {
    const body = { job_id: 'shared', prompt: 'a' };
    const mine = await call('POST', '/v1/jobs', { body });
    const other = { body: { ...body, prompt: 'z' }, key: otherKey };
    const theirs = await call('POST', '/v1/jobs', other);
    expect([mine.status, theirs.status]).toEqual([202, 202]);
    const onlyMine = await post({ prompt: 'x' });
    const foreign = await call('GET', `/v1/jobs/${onlyMine.body.id}`, { key: otherKey });
    expect(foreign.status).toBe(404);
    expect(foreign.body).toMatchObject({ code: 'not_found', trace_id: expect.any(String) });
    const events = await call('GET', `/v1/jobs/${onlyMine.body.id}/events`, { key: otherKey });
    expect(events.status).toBe(404);
  });

  it('numbers the jobs of a session without gaps', async () => {
    const bodies = Array.from({ length: 6 }, (_, n) => ({
      job_id: `turn-${n % 4}`,
      prompt: `p${n % 4}`,
      session_id: 'chat-1',
    }));
    await Promise.all(bodies.map((body) => post(body)));
    await requested.waitFor(() => [0, 1, 2, 3].every((n) => requestsOf(`turn-${n}`).length > 0));
    const turns = requested.messages
      .filter(({ headers }) => headers['ce_subject']?.startsWith('turn-'))
      .map(({ key: at, value }) => [at!.toString(), JSON.parse(value!.toString()).session_seq]);
    expect(new Set(turns.map(([at]) => at))).toEqual(new Set(['default/chat-1']));
    expect([...new Set(turns.map(([, seq]) => seq))].sort()).toEqual([1, 2, 3, 4]);
  });

  it('numbers only messages: nobody waits for the turn of an agent', async () => {
    const session_id = 'chat-mixed';
    for (const [job_id, type] of [['mixed-1', 'message'], ['mixed-2', 'agent']] as const) {
      expect((await post({ job_id, type, prompt: 'p', session_id })).status).toBe(202);
    }
    await post({ job_id: 'mixed-3', prompt: 'p', session_id });
    await requested.waitFor(() => requestsOf('mixed-3').length > 0);
    const [message] = requestsOf('mixed-3');
    expect(JSON.parse(message!.value!.toString()).session_seq).toBe(2);
  });

  it('carries large parameters by reference', async () => {
    const prompt = 'x'.repeat(inlineBodyBytesMax + 10);
    const { body } = await post({ prompt });
    await requested.waitFor(() => requestsOf(body.id).length > 0);
    const data = JSON.parse(requestsOf(body.id)[0]!.value!.toString());
    expect(data.params).toBeUndefined();
    const { rows } = await admin.query(`SELECT blobs.get('default', $1) AS bytes`, [
      data.params_ref,
    ]);
    const stored: { bytes: Buffer }[] = rows;
    expect(JSON.parse(stored[0]!.bytes.toString()).messages[0].content).toBe(prompt);
  });

  it('publishes agent and document jobs as workflows', async () => {
    const { body } = await post({ type: 'agent', prompt: 'plan', session_id: 'label' });
    await workflows.waitFor((all) => all.some(({ headers }) => headers['ce_subject'] === body.id));
    const message = workflows.messages.find(({ headers }) => headers['ce_subject'] === body.id);
    const data = JSON.parse(message!.value!.toString());
    const params = { messages: [{ role: 'user', content: 'plan' }] };
    expect(data).toMatchObject({ job_id: body.id, type: 'agent', session_id: 'label', params });
  });

  it('leaves an empty outbox behind', async () => {
    await post({ prompt: 'sent' });
    await until(async () => {
      const { rows } = await admin.query('SELECT count(*)::int AS n FROM ingest.outbox');
      return rows[0].n === 0;
    });
  });
});

describe('bad input by HTTP', () => {
  const deep = '['.repeat(100) + ']'.repeat(100);
  const json = { 'content-type': 'application/json' };
  type Given = { readonly raw: string | Buffer; readonly headers?: Record<string, string> };
  const cases: [string, Given, number, string][] = [
    ['malformed JSON', { raw: '{"prompt":' }, 400, 'malformed_json'],
    ['an empty body', { raw: '', headers: json }, 400, 'malformed_json'],
    ['an unknown field', { raw: '{"prompt":"a","nope":1}' }, 400, 'invalid_request'],
    ['a wrong type', { raw: '{"prompt":7}' }, 400, 'invalid_request'],
    ['no content', { raw: '{}' }, 400, 'invalid_request'],
    ['a poisoned prototype', { raw: '{"prompt":"a","__proto__":{"x":1}}' }, 400, 'invalid_request'],
    ['deep JSON', { raw: `{"params":{"x":${deep}}}` }, 400, 'invalid_request'],
    ['a bad job id', { raw: '{"prompt":"a","job_id":"a/b"}' }, 400, 'invalid_request'],
    [
      'another content type',
      { raw: 'prompt=a', headers: { 'content-type': 'application/x-www-form-urlencoded' } },
      415,
      'unsupported_media_type',
    ],
    [
      'text',
      { raw: 'a', headers: { 'content-type': 'text/plain' } },
      415,
      'unsupported_media_type',
    ],
    [
      'a packed body',
      { raw: gzipSync('{"prompt":"a"}'), headers: { ...json, 'content-encoding': 'gzip' } },
      415,
      'unsupported_media_type',
    ],
    [
      'a bad idempotency key',
      { raw: '{"prompt":"a"}', headers: { 'idempotency-key': 'a b' } },
      400,
      'invalid_request',
    ],
    [
      'an unsafe callback',
      { raw: '{"prompt":"a","callback_url":"http://10.0.0.1/x"}' },
      422,
      'unsafe_callback_url',
    ],
    [
      'a refused parameter',
      { raw: '{"params":{"temperature":1,"messages":[{"role":"user","content":"a"}]}}' },
      422,
      'refused_by_model',
    ],
    ['no messages', { raw: '{"params":{"messages":[]}}' }, 422, 'refused_by_model'],
  ];

  it.each(cases)('answers %s', async (_what, given, status, code) => {
    const answer = await call('POST', '/v1/jobs', given);
    expect(answer.headers.get('content-type')).toContain('application/problem+json');
    expect(answer.body).toMatchObject({ status, code });
    expect(answer.body.trace_id).toMatch(/^\w{32}$/);
    expect(answer.status).toBe(status);
  });

  it('lists what is wrong, and where', async () => {
    const { body } = await post({ prompt: 'a', lane: 'x', nope: 1 });
    const errors: { path: string }[] = body.errors;
    expect(errors.map(({ path }) => path).sort()).toEqual(['', 'lane']);
  });

  it('refuses bytes that are not UTF-8', async () => {
    const raw = Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]);
    expect((await call('POST', '/v1/jobs', { raw })).body.code).toBe('malformed_json');
  });

  it('refuses a body above the limit', async () => {
    const raw = JSON.stringify({ prompt: 'x'.repeat(httpBodyBytesMax) });
    const answer = await call('POST', '/v1/jobs', { raw });
    expect([answer.status, answer.body.code]).toEqual([413, 'payload_too_large']);
  });

  it.each(['mr_unknown-key-unknown-key', 'nonsense', ''])('refuses the key %j', async (bad) => {
    const answer = await call('GET', '/v1/jobs', { key: bad });
    expect([answer.status, answer.body.code]).toEqual([401, 'unauthorized']);
  });

  it.each(['/%76%31/jobs/x', '/v1/%6aobs', '//v1/jobs', '/V1/jobs'])(
    'reads nothing of a body without a key, however the path is written: %s',
    async (path) => {
      const got = await call('GET', path, { key: '' });
      expect(got.status).toBe(path.includes('%') ? 401 : 404);
      // One that was read would be malformed.
      const posted = await call('POST', path, { key: '', raw: '{' });
      expect([401, 404, 405]).toContain(posted.status);
    },
  );

  it('takes x-api-key as well', async () => {
    const response = await fetch(`${base}/v1/jobs`, { headers: { 'x-api-key': key } });
    expect(response.status).toBe(200);
  });

  it.each(['/v1/nothing', '/nothing', '/v1/jobs/none', `/v1/jobs/${'x'.repeat(200)}`])(
    'answers %s with 404',
    async (path) => {
      const answer = await call('GET', path);
      expect([answer.status, answer.body.code]).toEqual([404, 'not_found']);
      expect(answer.body.trace_id).toMatch(/^\w{32}$/);
    },
  );

  it.each([
    ['PUT', '/v1/jobs', 'GET, HEAD, POST'],
    ['OPTIONS', '/v1/jobs?limit=5', 'GET, HEAD, POST'],
    ['DELETE', '/v1/jobs/x', 'GET, HEAD'],
    ['PATCH', '/v1/%6aobs/a%2Fb', 'GET, HEAD'],
    ['GET', '/v1/jobs/x/cancel', 'POST'],
    ['HEAD', '/v1/jobs/x/cancel', 'POST'],
    ['POST', '/v1/tools/x', 'GET, HEAD, DELETE, PUT'],
    ['POST', '/healthz', 'GET, HEAD'],
    ['DELETE', '/v1/jobs/', 'GET, HEAD'],
  ])('answers %s %s, a route of other methods, with 405', async (method, path, allowed) => {
    const answer = await call(method, path, { key: '' });
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, allowed]);
    expect(answer.headers.get('content-type')).toContain('application/problem+json');
    if (method === 'HEAD') return;
    const detail: unknown = expect.stringContaining(`${allowed}: /openapi.json`);
    expect(answer.body).toMatchObject({ status: 405, code: 'method_not_allowed', detail });
  });

  // Where a slash is one too many there is no route of any method.
  it.each(['/v1/nothing', '/nothing', '/v1/jobs/x/cancel/', '/healthz/', '/V1/jobs'])(
    'answers PUT %s with 404, and with no methods',
    async (path) => {
      const answer = await call('PUT', path);
      expect([answer.status, answer.body.code]).toEqual([404, 'not_found']);
      expect(answer.headers.get('allow')).toBeNull();
      expect(answer.body.detail).toContain('/openapi.json');
    },
  );

  it('answers a path that cannot be decoded', async () => {
    const answer = await call('GET', '/v1/jobs/%zz');
    expect([answer.status, answer.body.code]).toEqual([400, 'invalid_request']);
  });
});

describe('GET /v1/jobs', () => {
  it('pages from the newest to the oldest, by status, type and session', async () => {
    for (let n = 0; n < 5; n += 1) {
      await post({ job_id: `page-${n}`, prompt: 'p', session_id: 'pages' });
    }
    const seen: string[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const at: string = cursor === '' ? '' : `&cursor=${cursor}`;
      const { body } = await call('GET', `/v1/jobs?session_id=pages&limit=2${at}`);
      const page: { id: string }[] = body.data;
      seen.push(...page.map(({ id }) => id));
      cursor = body.next_cursor;
    }
    expect(seen).toEqual(['page-4', 'page-3', 'page-2', 'page-1', 'page-0']);
    const none = await call('GET', '/v1/jobs?session_id=pages&status=failed');
    expect(none.body).toEqual({ data: [], next_cursor: null });
    const agents = await call('GET', '/v1/jobs?type=agent');
    expect(agents.body.data.length).toBeGreaterThan(0);
  });

  it.each(['limit=0', 'limit=101', 'limit=x', 'cursor=zzz', 'status=odd', 'nope=1'])(
    'refuses %s',
    async (query) => {
      const answer = await call('GET', `/v1/jobs?${query}`);
      expect([answer.status, answer.body.code]).toEqual([400, 'invalid_request']);
    },
  );
});

describe('while Postgres is away', () => {
  const limitConnections = async (limit: number) => {
    const name = new URL(database.adminUrl).pathname.slice(1);
    await admin.query(`ALTER DATABASE ${name} CONNECTION LIMIT ${limit}`);
    await admin.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE datname = $1 AND usename IN ('ingest', 'ingest_api')`,
      [name],
    );
  };

  it('accepts nothing, says when to try again, and goes on afterwards', async () => {
    await call('GET', '/v1/jobs');
    await limitConnections(0);
    try {
      const answer = await post({ job_id: 'while-away', prompt: 'a' });
      expect([answer.status, answer.body.code]).toEqual([503, 'not_durable']);
      expect(answer.body.detail).toContain('repeat the request with the same Idempotency-Key');
      expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
      expect((await call('GET', '/v1/jobs/while-away')).status).toBe(503);
      // A record waits meanwhile, and is not lost.
      await submitRecord('{"job_id":"waits","prompt":"a"}');
    } finally {
      await limitConnections(-1);
    }
    await jobBecomes('waits', 'queued');
    expect((await post({ job_id: 'while-away', prompt: 'a' })).status).toBe(202);
  });
});

describe('expired bodies', () => {
  it('are deleted', async () => {
    await admin.query(`SELECT blobs.put('default', 'blob_old', 'x', -60)`);
    await app.get(BlobPurge).purge();
    const { rows } = await admin.query(`SELECT FROM blobs.chunks WHERE id = 'blob_old'`);
    expect(rows).toEqual([]);
  });
});

describe('documents and health', () => {
  it('serves the contracts and says who answers', async () => {
    expect((await call('GET', '/openapi.json')).body.openapi).toMatch(/^3\.1/);
    expect((await call('GET', '/asyncapi.json')).body.asyncapi).toMatch(/^3\./);
    expect((await call('GET', '/healthz')).body.claude).toBe('stand-in');
    const metrics = await (await fetch(`${base}/metrics`)).text();
    expect(metrics).toContain('millrace_jobs_submitted_total{type="message",via="http"');
  });
});

describe('jobs.submitted.v1', () => {
  it('takes the bare form, delivered twice, as one job', async () => {
    const record = JSON.stringify({
      job_id: 'bare-1',
      prompt: 'Hi',
      callback_url: 'http://127.0.0.1:9/',
      submitted_at: '2026-11-23T00:00:00Z',
    });
    await submitRecord(record);
    await submitRecord(record);
    const job = await jobBecomes('bare-1', 'queued');
    expect(job).toMatchObject({ model: 'claude-sonnet-5-5', lane: 'standard' });
    // The repetition publishes the same event again: the worker knows it by its id.
    await requested.waitFor(() => requestsOf('bare-1').length === 2);
    const values = requestsOf('bare-1').map(({ value }) => value!.toString());
    expect(values[0]).toBe(values[1]);
  });

  it('takes CloudEvents, with a session', async () => {
    const headers = { ce_type: 'millrace.job.submitted.v1', ce_id: '1', ce_specversion: '1.0' };
    for (const n of [1, 2, 3]) {
      const body = { job_id: `ce-${n}`, prompt: `p${n}`, session_id: 'ce-chat' };
      await submitRecord(JSON.stringify(body), headers);
    }
    await requested.waitFor(() => requestsOf('ce-3').length > 0);
    const seqs = [1, 2, 3].map(
      (n) => JSON.parse(requestsOf(`ce-${n}`)[0]!.value!.toString()).session_seq,
    );
    expect(seqs).toEqual([1, 2, 3]);
  });

  it('names a job without an id after its place', async () => {
    await submitRecord('{"prompt":"nameless"}');
    const found = await until(async () => {
      const { rows } = await admin.query(
        `SELECT id FROM ingest.jobs WHERE source = 'kafka' AND id LIKE 'job\\_%'`,
      );
      return rows[0];
    });
    expect(found.id).toMatch(/^job_[0-9a-f]{32}$/);
  });

  const bad: [string, string | Buffer | null, Record<string, string>, string][] = [
    ['an empty value', '', {}, 'empty_record'],
    ['a tombstone', null, {}, 'empty_record'],
    ['bytes that are not UTF-8', Buffer.from([0xff, 0xfe, 0xfd]), {}, 'not_utf8'],
    ['what is not JSON', 'prompt', {}, 'malformed_json'],
    ['a list', '[1]', {}, 'invalid_request'],
    ['no prompt and no id', '{"callback_url":"x"}', {}, 'invalid_request'],
    ['an unknown type', '{"prompt":"a"}', { ce_type: 'some.other.v1' }, 'unknown_type'],
    [
      'an unknown version',
      '{"prompt":"a"}',
      { ce_type: 'millrace.job.submitted.v2', ce_specversion: '1.0' },
      'unknown_type',
    ],
    [
      'an unknown specversion',
      '{"prompt":"a"}',
      { ce_type: 'millrace.job.submitted.v1', ce_specversion: '2.0' },
      'unknown_type',
    ],
    ['an id that is none', '{"job_id":"a/b","prompt":"a"}', {}, 'invalid_request'],
  ];

  it.each(bad)('sends %s to the dead letters and goes on', async (what, value, headers, code) => {
    const before = deadLettersOf(code).length;
    const id = `after-${what.replaceAll(' ', '-')}`;
    await submitRecord(value, headers);
    await submitRecord(JSON.stringify({ job_id: id, prompt: 'good' }));
    await deadLetters.waitFor(() => deadLettersOf(code).length > before);
    const letter = deadLettersOf(code).at(-1);
    expect(letter!.headers).toMatchObject({ 'dlq-service': 'ingest', 'dlq-reason': code });
    expect(letter!.value?.toString() ?? '').toBe(value?.toString() ?? '');
    await jobBecomes(id, 'queued');
  });

  it('sends a record that is too large to the dead letters, untouched, and goes on', async () => {
    const value = Buffer.alloc(kafkaRecordBytesMax + 1, 'x');
    await submitRecord(value);
    await submitRecord(JSON.stringify({ job_id: 'after-too-large', prompt: 'good' }));
    await jobBecomes('after-too-large', 'queued');
    await deadLetters.waitFor(() => deadLettersOf('payload_too_large').length > 0);
    const [letter] = deadLettersOf('payload_too_large');
    expect(letter!.value!.equals(value)).toBe(true);
    expect(letter!.headers).toMatchObject({ 'dlq-service': 'ingest' });
  });

  it('lists dead letters, newest first, and shows one whole to its tenant alone', async () => {
    const value = Buffer.from([0x7b, 0xff, 0xfe]);
    await submitRecord(value, { 'x-upstream': 'mine' });
    await submitRecord('no json for the list');
    const found = await letterWith('malformed_json', 'no json for the list');
    expect(found).toMatchObject({ topic: 'jobs.submitted.v1', service: 'ingest' });
    const binary = await letterWith('not_utf8', value.toString('base64'));
    expect(binary.value.encoding).toBe('base64');
    expect(binary.headers).toEqual({ 'x-upstream': 'mine' });

    const { body: first } = await call('GET', '/v1/dead-letters?limit=1');
    const next = `/v1/dead-letters?limit=1&cursor=${first.next_cursor}`;
    const { body: second } = await call('GET', next);
    expect(second.data[0].id).not.toBe(first.data[0].id);
    expect(second.data[0].at <= first.data[0].at).toBe(true);
    expect((await call('GET', `/v1/dead-letters/${found.id}`, { key: otherKey })).status).toBe(404);
    expect((await call('GET', '/v1/dead-letters/dl_nothing')).status).toBe(404);
    expect((await call('GET', '/v1/dead-letters', { key: otherKey })).body.data).toEqual([]);
  });

  describe('redriving a dead letter', () => {
    const idsOf = (page: { data: { id: string }[] }) => page.data.map(({ id }) => id);
    const redrive = (id: string, body?: object, by = key) =>
      call('POST', `/v1/dead-letters/${id}/redrive`, { key: by, body });

    it('publishes a record that never became a job again as it was, once', async () => {
      const value = 'no json to be redriven';
      await submitRecord(value, { 'x-upstream': 'mine' });
      const letter = await letterWith('malformed_json', value);
      expect(letter.redrive_count).toBe(0);
      expect((await redrive(letter.id, undefined, otherKey)).status).toBe(404);
      const answers = await Promise.all([redrive(letter.id), redrive(letter.id, { after: 0 })]);
      expect(answers.map(({ status }) => status)).toEqual([202, 202]);
      const replayed = answers.map(({ headers }) => headers.get('idempotent-replayed'));
      expect(replayed.filter((header) => header === 'true')).toHaveLength(1);
      expect(answers[0]?.body).toEqual(answers[1]?.body);
      expect(answers[0]?.body).toMatchObject({ dead_letter_id: letter.id, redrive_count: 1 });

      const own = () => deadLetters.messages.filter((each) => each.value?.toString() === value);
      await deadLetters.waitFor(() => own().length === 2);
      expect(own()[1]).toMatchObject({ key: Buffer.from('k') });
      expect(own()[1]!.headers).toMatchObject({ 'x-upstream': 'mine' });
      const left = async () =>
        (await admin.query(`SELECT FROM ingest.outbox WHERE id LIKE 'redrive/%'`)).rows.length;
      await until(async () => (await left()) === 0);
      await submitRecord('no json after the redrive');
      await letterWith('malformed_json', 'no json after the redrive');
      expect(own()).toHaveLength(2);

      expect((await redrive(letter.id, { after: 1 })).body.redrive_count).toBe(2);
      expect((await redrive(letter.id)).body.code).toBe('changed_meanwhile');
      const { body } = await call('GET', '/v1/dead-letters?code=malformed_json&redriven=true');
      expect(idsOf(body)).toEqual([letter.id]);
      const { body: others } = await call('GET', '/v1/dead-letters?redriven=false&limit=100');
      expect(idsOf(others)).not.toContain(letter.id);
    });

    const failedRequest = (id: string, more: object = {}) => ({
      ...{ tenant: 'default', call_id: id, lane: 'bulk', stream: false },
      params: { model: 'claude-sonnet-5-5', max_tokens: 9, messages: [{ role: 'user' }] },
      reply: {
        kind: 'job',
        callback: { url: 'http://127.0.0.1:9/cb' },
        metadata: { order: '7' },
        created_at: '2026-11-23T10:00:00.000Z',
      },
      ...more,
    });
    const letterOf = async (topic: string, value: object, service = 'claude-worker') => {
      const offset = String(Math.floor(Math.random() * 1e9));
      const letter = {
        ...{ clusterId: 'c', topic: `${topic}.dlq`, partition: 0, offset },
        ...{ key: null, value: Buffer.from(JSON.stringify(value)), timestampMs: Date.now() },
        headers: {
          'dlq-topic': topic,
          'dlq-reason': `spec-${offset}`,
          'dlq-service': service,
          ce_tenant: 'default',
          ce_id: `of-${offset}`,
        },
        context: ROOT_CONTEXT,
      };
      await app.get(DeadLettersConsumer, { strict: false }).requested([letter]);
      const { body } = await call('GET', `/v1/dead-letters?code=spec-${offset}`);
      return body.data[0];
    };

    it('does a failed job again as a new one, once for each time that it is asked', async () => {
      const letter = await letterOf('claude.requested.v1', failedRequest('gave-up'));
      const answers = await Promise.all([redrive(letter.id), redrive(letter.id)]);
      const [id, same] = answers.map(({ body }) => body.job_id);
      expect(same).toBe(id);
      const job = await jobBecomes(id, 'queued');
      expect(job).toMatchObject({
        redrive_of: 'gave-up',
        lane: 'bulk',
        metadata: { order: '7' },
        model: 'claude-sonnet-5-5',
      });
      await requested.waitFor(() => requestsOf(id).length > 0);
      const request: Json = JSON.parse(requestsOf(id)[0]!.value!.toString());
      expect(request.params).toEqual(failedRequest('gave-up').params);
      expect(request.reply).toMatchObject({
        callback: { url: 'http://127.0.0.1:9/cb' },
        redrive_of: 'gave-up',
      });
      const { body: again } = await redrive(letter.id, { after: 1 });
      expect(again.job_id).not.toBe(id);
      await requested.waitFor(() => requestsOf(again.job_id).length > 0);
      expect(requestsOf(id)).toHaveLength(1);
      // A job that is kept no longer has no timeline, and is done again all the same.
      expect((await call('GET', '/v1/jobs/gave-up/timeline')).status).toBe(404);
      const { body: list } = await call('GET', '/v1/jobs?limit=100');
      const jobs: { id: string; redrive_of?: string }[] = list.data;
      expect(jobs.find((each) => each.id === id)?.redrive_of).toBe('gave-up');
    });

    it('puts the turn of a session that is done again behind those that are there', async () => {
      const { body: turn } = await post({ prompt: 'One.', session_id: 'redriven-session' });
      const request = { session_id: 'redriven-session', session_seq: 1 };
      const letter = await letterOf('claude.requested.v1', failedRequest(turn.id, request));
      const [{ body }] = await Promise.all([redrive(letter.id), redrive(letter.id)]);
      await requested.waitFor(() => requestsOf(body.job_id).length > 0);
      const { body: timeline } = await call('GET', `/v1/jobs/${turn.id}/timeline`);
      const events: { kind: string }[] = timeline.events;
      expect(events.filter(({ kind }) => kind === 'redriven')).toEqual([
        { kind: 'redriven', at: expect.any(String), job_id: body.job_id },
      ]);
      const again: Json = JSON.parse(requestsOf(body.job_id)[0]!.value!.toString());
      expect(again).toMatchObject({ session_id: 'redriven-session', session_seq: 2 });
    });

    it('tells a finished job whose webhook was given up again, and says why', async () => {
      const end = endOf('given-up');
      const letter = await letterOf('jobs.finished.v1', end, 'webhook-dispatcher');
      expect((await redrive(letter.id)).status).toBe(202);
      const told = () =>
        finished.messages.filter(
          ({ headers }) => headers['millrace-redrive'] === `${letter.id}:1`,
        );
      await finished.waitFor(() => told().length > 0);
      expect(JSON.parse(told()[0]!.value!.toString())).toEqual(end);
      expect(Object.keys(told()[0]!.headers).filter((name) => name.startsWith('dlq-'))).toEqual([]);
    });

    it('refuses what is no tenant’s to publish, and what cannot be read', async () => {
      const foreign = await letterOf('jobs.finished.v1', endOf('x'), 'ingest');
      const broken = await letterOf('claude.requested.v1', { nothing: true });
      const gone = { params: undefined, params_ref: 'blob_default.gone.params' };
      const expired = await letterOf('claude.requested.v1', failedRequest('y', gone));
      expect((await redrive(foreign.id)).body.code).toBe('invalid_request');
      expect((await redrive(broken.id)).body.code).toBe('invalid_request');
      expect((await redrive(expired.id)).body.code).toBe('not_found');
      expect((await call('GET', `/v1/dead-letters/${broken.id}`)).body.redrive_count).toBe(0);
    });
  });

  it('indexes a dead letter once, however often it is read', async () => {
    const consumer = app.get(DeadLettersConsumer, { strict: false });
    const record = {
      ...{ clusterId: 'c', topic: 'claude.requested.v1.dlq', partition: 0, offset: '1' },
      ...{ key: null, value: Buffer.from('{}'), timestampMs: 1_000, context: ROOT_CONTEXT },
      headers: { 'dlq-topic': 'claude.requested.v1', 'dlq-reason': 'twice', ce_tenant: 'default' },
    };
    await consumer.requested([record, record]);
    await consumer.requested([record]);
    const { body } = await call('GET', '/v1/dead-letters?code=twice');
    expect(body.data).toHaveLength(1);
  });

  it.each([
    ['an unknown field', { nope: 1, prompt: 'a' }, 'invalid_request', true],
    [
      'an unsafe callback',
      { prompt: 'a', callback_url: 'http://10.1.1.1/' },
      'unsafe_callback_url',
      false,
    ],
  ])('makes of %s a failed job, told once', async (what, body, code, hasCallback) => {
    const id = `failed-${what.replaceAll(' ', '-')}`;
    const callback = { callback_url: 'http://127.0.0.1:9/cb' };
    const record = JSON.stringify({ job_id: id, ...callback, ...body });
    await submitRecord(record);
    await submitRecord(record);
    const job = await jobBecomes(id, 'failed');
    expect(job.error.code).toBe(code);
    expect(job.finished_at).toBeDefined();
    const told = () => finished.messages.filter(({ key: at }) => at?.toString() === id);
    await finished.waitFor(() => told().length >= 2);
    const [first, second] = told();
    expect(first!.headers['ce_id']).toBe(second!.headers['ce_id']);
    const data = topics.jobsFinished.types['millrace.job.failed.v1'].parse(
      JSON.parse(first!.value!.toString()),
    );
    expect(data).toMatchObject({ status: 'failed', error: { code } });
    expect(data.callback?.url).toBe(hasCallback ? callback.callback_url : undefined);
  });

  it('sends another body under a known id to the dead letters', async () => {
    await submitRecord('{"job_id":"twice","prompt":"a"}');
    await submitRecord('{"job_id":"twice","prompt":"b"}');
    await deadLetters.waitFor(() => deadLettersOf('idempotency_conflict').length > 0);
    const [letter] = deadLettersOf('idempotency_conflict');
    expect(JSON.parse(letter!.value!.toString()).prompt).toBe('b');
  });

  it('sends the repetition of a job that cannot be read to the dead letters, alone', async () => {
    await submitRecord('{"job_id":"torn","prompt":"a"}');
    await jobBecomes('torn', 'queued');
    await admin.query(`UPDATE ingest.jobs SET session_id = '' WHERE id = 'torn'`);
    await submitRecord('{"job_id":"torn","prompt":"a"}');
    await submitRecord('{"job_id":"beside-torn","prompt":"a"}');
    await deadLetters.waitFor(() => deadLettersOf('internal').length > 0);
    await jobBecomes('beside-torn', 'queued');
    const [torn, beside] = await Promise.all(
      ['torn', 'beside-torn'].map((job_id) => post({ job_id, prompt: 'a' })),
    );
    expect(torn).toMatchObject({ status: 500, body: { code: 'internal' } });
    expect(beside).toMatchObject({ status: 202 });
    await admin.query(`UPDATE ingest.jobs SET session_id = NULL WHERE id = 'torn'`);
    expect((await post({ job_id: 'torn', prompt: 'a' })).status).toBe(202);
  });

  it('sends the one row that the database refuses to the dead letters', async () => {
    await admin.query(
      `ALTER TABLE ingest.jobs ADD CONSTRAINT spec CHECK (id <> 'refused-by-database')`,
    );
    await submitRecord('{"job_id":"beside-1","prompt":"a"}');
    await submitRecord('{"job_id":"refused-by-database","prompt":"a"}');
    await submitRecord('{"job_id":"beside-2","prompt":"a"}');
    await deadLetters.waitFor(() => deadLettersOf('bad_row').length > 0);
    await jobBecomes('beside-1', 'queued');
    await jobBecomes('beside-2', 'queued');
    expect((await post({ job_id: 'refused-by-database', prompt: 'a' })).status).toBe(400);
    await admin.query('ALTER TABLE ingest.jobs DROP CONSTRAINT spec');
  });
});

describe('jobs.finished.v1 and jobs.progressed.v1', () => {
  it('end a job once, whatever comes again or late', async () => {
    const { body } = await post({ prompt: 'to be ended' });
    await finish(body.id, {}, 2);
    const job = await jobBecomes(body.id, 'succeeded');
    expect(job).toMatchObject({
      result: 'Hello there',
      message: { id: 'msg_1' },
      usage: { input_tokens: 3, output_tokens: 2 },
      attempts: [{ number: 1, outcome: 'succeeded' }],
      stand_in: true,
    });
    const consumer = app.get(FinishedJobsConsumer);
    const data = endOf(body.id, { status: 'failed', created_at: body.created_at });
    const record = { topic: '', partition: 0, offset: '0', key: null, timestampMs: 0, id: '' };
    const context = {} as never;
    await consumer.end([{ ...record, type: '', headers: {}, data, context }]);
    expect((await call('GET', `/v1/jobs/${body.id}`)).body.status).toBe('succeeded');
    const page = await call('GET', '/v1/jobs?status=succeeded');
    expect(page.body.data[0].result).toBeUndefined();
  });

  it('pass over a job that is not known here', async () => {
    await finish('nobody-knows');
    const { body } = await post({ prompt: 'after it' });
    await finish(body.id);
    await jobBecomes(body.id, 'succeeded');
  });

  it('show a job as running, and never again once it has ended', async () => {
    const { body } = await post({ prompt: 'long' });
    const progressed = {
      type: 'millrace.job.progressed.v1',
      id: `default:${body.id}:running`,
      key: body.id,
      data: {
        tenant: 'default',
        job_id: body.id,
        status: 'running',
        attempt: 1,
        at: '2026-11-23T10:00:00Z',
      },
    };
    await publish(topics.jobsProgressed, progressed);
    await jobBecomes(body.id, 'running');
    await finish(body.id, { status: 'failed', error: { code: 'refusal', detail: 'no' } });
    await jobBecomes(body.id, 'failed');
    await publish(topics.jobsProgressed, progressed);
    expect((await jobBecomes(body.id, 'failed')).error.code).toBe('refusal');
  });

  it('bring in a message that travelled by reference', async () => {
    const { body } = await post({ prompt: 'large' });
    const message = { id: 'msg_2', content: [{ type: 'text', text: 'from the blob' }] };
    await admin.query(`SELECT blobs.put('default', 'blob_large', $1, 60)`, [
      Buffer.from(JSON.stringify(message)),
    ]);
    const { result: _result, message: _message, ...end } = endOf(body.id);
    await publish(topics.jobsFinished, {
      type: 'millrace.job.succeeded.v1',
      id: `default:${body.id}:finished`,
      key: body.id,
      data: { ...end, message_ref: 'blob_large' },
    });
    const job = await jobBecomes(body.id, 'succeeded');
    expect(job).toMatchObject({ result: 'from the blob', message });
  });
});

interface Frame {
  readonly event: string;
  readonly id: string | undefined;
  readonly data: Json;
}

/** Reads an event stream frame by frame, as the standard says. */
class StreamReader {
  readonly frames: Frame[] = [];
  text = '';
  readonly ended: Promise<void>;

  constructor(response: Response) {
    this.ended = this.read(response);
  }

  async next(count: number): Promise<readonly Frame[]> {
    await until(async () => this.frames.length >= count);
    return this.frames;
  }

  private async read(response: Response): Promise<void> {
    const decoder = new TextDecoder();
    let rest = '';
    for await (const chunk of response.body!) {
      this.text += decoder.decode(chunk as Uint8Array, { stream: true });
      rest = this.text;
      const blocks = rest.split('\n\n').slice(0, -1);
      for (const block of blocks.slice(this.blocks)) this.take(block);
      this.blocks = blocks.length;
    }
  }

  private blocks = 0;

  private take(block: string): void {
    const field = (name: string) =>
      block
        .split('\n')
        .find((line) => line.startsWith(`${name}: `))
        ?.slice(name.length + 2);
    const data = field('data');
    if (data === undefined) return;
    const value = data === '[DONE]' ? data : JSON.parse(data);
    this.frames.push({ event: field('event') ?? 'message', id: field('id'), data: value });
  }
}

async function listen(id: string, headers: Record<string, string> = {}): Promise<StreamReader> {
  const response = await fetch(`${base}/v1/jobs/${id}/events`, {
    headers: { authorization: `Bearer ${key}`, ...headers },
  });
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toBe('text/event-stream');
  expect(response.headers.get('cache-control')).toBe('no-cache, no-transform');
  expect(response.headers.get('x-accel-buffering')).toBe('no');
  return new StreamReader(response);
}

describe('GET /v1/jobs/{id}/events', () => {
  beforeAll(async () => {
    await app.get(KafkaTails).start();
  });

  it('tells the text as it is written, a new attempt, and the end', async () => {
    await post({ job_id: 'live-1', prompt: 'p' });
    const stream = await listen('live-1');
    await stream.next(1);
    expect(stream.text.startsWith('retry: 2000\nevent: stream.opened\ndata: {')).toBe(true);
    await delta('live-1', 0, 'Hel');
    await stream.next(3);
    await delta('live-1', 0, 'Hel');
    await delta('live-1', 3, 'lo');
    await stream.next(4);
    await delta('live-1', 0, 'Hello', { attempt: 2 });
    await stream.next(6);
    const at = '2026-11-23T10:00:00.000Z';
    const attempt = { started_at: at, ended_at: at };
    await finish('live-1', {
      attempts: [
        { number: 1, outcome: 'unknown', ...attempt },
        { number: 2, outcome: 'succeeded', ...attempt },
      ],
    });
    await stream.ended;
    expect(stream.frames.map(({ event, id, data }) => [event, id, data.text])).toEqual([
      ['stream.opened', undefined, undefined],
      ['job.running', undefined, undefined],
      ['delta', 'live-1:1.1.3', 'Hel'],
      ['delta', 'live-1:1.1.5', 'lo'],
      ['stream.restarted', 'live-1:1.2.0', undefined],
      ['delta', 'live-1:1.2.5', 'Hello'],
      ['delta', 'live-1:1.2.11', ' there'],
      ['job.succeeded', 'live-1:end', undefined],
    ]);
    expect(stream.frames.at(-1)!.data).toMatchObject({ id: 'live-1', result: 'Hello there' });
  });

  it('gives a late joiner one snapshot, then what follows', async () => {
    await post({ job_id: 'live-2', prompt: 'p' });
    const early = await listen('live-2');
    await early.next(1);
    await delta('live-2', 0, 'Hello');
    await early.next(3);
    const late = await listen('live-2');
    await late.next(3);
    await delta('live-2', 5, ' there');
    await finish('live-2');
    await Promise.all([early.ended, late.ended]);
    expect(late.frames.map(({ event, id, data }) => [event, id, data.text])).toEqual([
      ['stream.opened', undefined, undefined],
      ['job.running', undefined, undefined],
      ['snapshot', 'live-2:1.1.5', 'Hello'],
      ['delta', 'live-2:1.1.11', ' there'],
      ['job.succeeded', 'live-2:end', undefined],
    ]);
  });

  it('replays a job that has ended, and answers 204 to who has it all', async () => {
    await jobBecomes('live-2', 'succeeded');
    const stream = await listen('live-2');
    await stream.ended;
    expect(stream.frames.map(({ event, id, data }) => [event, id, data.text])).toEqual([
      ['stream.opened', undefined, undefined],
      ['snapshot', 'live-2:1.1.11', 'Hello there'],
      ['job.succeeded', 'live-2:end', undefined],
    ]);
    const again = await call('GET', '/v1/jobs/live-2/events', {
      headers: { 'last-event-id': 'live-2:end' },
    });
    expect(again.status).toBe(204);
  });

  it('gives who comes back the rest, while the job runs and after its end', async () => {
    await post({ job_id: 'live-4', prompt: 'p' });
    const first = await listen('live-4');
    await first.next(1);
    await delta('live-4', 0, 'Hello');
    await first.next(3);
    const behind = await listen('live-4', { 'last-event-id': 'live-4:1.1.2' });
    const ahead = await listen('live-4', { 'last-event-id': 'live-4:1.1.7' });
    await Promise.all([behind.next(2), ahead.next(1)]);
    await delta('live-4', 5, ' the');
    await Promise.all([behind.next(4), ahead.next(3)]);
    await finish('live-4');
    await Promise.all([first.ended, behind.ended, ahead.ended]);
    const textsOf = (stream: StreamReader) =>
      stream.frames.filter(({ event }) => event === 'delta').map(({ data }) => data.text);
    expect(textsOf(behind)).toEqual(['llo', ' the', 're']);
    expect(textsOf(ahead)).toEqual(['he', 're']);
    await jobBecomes('live-4', 'succeeded');
    const after = await listen('live-4', { 'last-event-id': 'live-4:1.1.9' });
    await after.ended;
    expect(after.frames.map(({ event, id }) => [event, id])).toEqual([
      ['stream.opened', undefined],
      ['delta', 'live-4:1.1.11'],
      ['job.succeeded', 'live-4:end'],
    ]);
  });

  it('takes the place from the query too, and refuses one of another job', async () => {
    const done = await call('GET', '/v1/jobs/live-2/events?starting_after=live-2:end');
    expect(done.status).toBe(204);
    for (const id of ['live-1:1.1.5', 'live-2:1.1.x', 'live-2']) {
      const refused = await call('GET', `/v1/jobs/live-2/events?starting_after=${id}`);
      expect([refused.status, refused.body.code]).toEqual([400, 'invalid_request']);
    }
  });

  it('goes on when one of two listeners leaves', async () => {
    await post({ job_id: 'live-3', prompt: 'p' });
    const leaving = new AbortController();
    const headers = { authorization: `Bearer ${key}` };
    await fetch(`${base}/v1/jobs/live-3/events`, { headers, signal: leaving.signal });
    const stays = await listen('live-3');
    leaving.abort();
    await delta('live-3', 0, 'Hello there');
    await finish('live-3');
    await stays.ended;
    expect(stays.frames.at(-1)!.event).toBe('job.succeeded');
  });
});

describe('POST /v1/stream', () => {
  async function stream(body: unknown): Promise<{ id: string; reader: StreamReader }> {
    const response = await fetch(`${base}/v1/stream`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    expect(response.status).toBe(200);
    const id = response.headers.get('x-millrace-job-id')!;
    return { id, reader: new StreamReader(response) };
  }

  it('answers token by token over a durable job', async () => {
    const { id, reader } = await stream({ prompt: 'p' });
    await requested.waitFor(() => requestsOf(id).length > 0);
    const data = JSON.parse(requestsOf(id)[0]!.value!.toString());
    expect(data).toMatchObject({ stream: true, lane: 'interactive' });
    expect(data.params.stream).toBeUndefined();
    await delta(id, 0, 'Hello');
    await reader.next(1);
    await finish(id);
    await reader.ended;
    expect(reader.text).toBe(
      'data: {"token":"Hello"}\n\ndata: {"token":" there"}\n\ndata: [DONE]\n\n',
    );
    await jobBecomes(id, 'succeeded');
  });

  it('tells a failure, then the end', async () => {
    const { id, reader } = await stream({ prompt: 'p' });
    const error = { code: 'retries_exhausted', detail: 'every retry failed' } as const;
    const { result: _result, message: _message, ...end } = endOf(id, { status: 'failed', error });
    await publish(topics.jobsFinished, {
      type: 'millrace.job.failed.v1',
      id: `default:${id}:finished`,
      key: id,
      data: end,
    });
    await reader.ended;
    expect(reader.text).toBe(
      `event: error\ndata: ${JSON.stringify(error)}\n\ndata: [DONE]\n\n`,
    );
  });

  it('answers bad input with a problem, not with a stream', async () => {
    const answer = await call('POST', '/v1/stream', { body: { prompt: 'p', lane: 'bulk' } });
    expect([answer.status, answer.body.code]).toEqual([400, 'invalid_request']);
  });
});

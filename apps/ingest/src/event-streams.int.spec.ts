import { connect, type Socket } from 'node:net';

import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { cloudEventHeaders, topics, type Topic } from '@millrace/contracts';
import { StepsStrategy } from '@millrace/kafka';
import { createPool, type Pool } from '@millrace/postgres';
import { Metrics, RuntimeModule, SilentLogger } from '@millrace/runtime';
import {
  createTestDatabase,
  createTestTopics,
  type TestDatabase,
  type TestTopics,
} from '@millrace/testing';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Kafka, logLevel, type Producer } from 'kafkajs';

import { ingestEnvironment } from './config.ts';
import { hashApiKey } from './core/api-key.ts';
import { httpOptions } from './http-options.ts';
import { IngestModule } from './ingest.module.ts';
import type { StreamSettings } from './stream-settings.ts';

jest.setTimeout(60_000);

const key = 'mr_default-key-for-the-specs-of-streams';
const otherKey = 'mr_other-key-for-the-specs-of-streams-0';
const at = '2026-11-23T10:00:00.000Z';

let database: TestDatabase;
let testTopics: TestTopics;
let admin: Pool;
let producer: Producer;

/** One replica of ingest, in this process. */
interface Replica {
  readonly app: NestFastifyApplication;
  readonly port: number;
}

async function boot(streams: Partial<StreamSettings> = {}): Promise<Replica> {
  const config = ingestEnvironment.parse({
    KAFKA_BROKERS: testTopics.brokers.join(','),
    HTTP_PORT: '1',
    DATABASE_URL: database.url('ingest'),
    API_DATABASE_URL: database.url('ingest_api'),
    MILLRACE_DEFAULT_API_KEY: key,
    MILLRACE_DEFAULT_WEBHOOK_SECRET: `whsec_${Buffer.alloc(32, 7).toString('base64')}`,
  });
  class Root {}
  const runtime = RuntimeModule.forService(config, 'ingest', new SilentLogger());
  const ingest = IngestModule.forConfig(config, { topicPrefix: testTopics.prefix, streams });
  const root = { module: Root, imports: [runtime, ingest] };
  const app = await NestFactory.create<NestFastifyApplication>(
    root,
    new FastifyAdapter({ ...httpOptions }),
    { logger: false },
  );
  app.connectMicroservice({ strategy: app.get(StepsStrategy, { strict: false }) });
  await app.startAllMicroservices();
  await app.listen(0, '127.0.0.1');
  return { app, port: Number(new URL(await app.getUrl()).port) };
}

async function close(closed: Replica): Promise<void> {
  const { app } = closed;
  await app.get(StepsStrategy, { strict: false }).close();
  const closing = app.close();
  await until(async () => ['0', undefined].includes(await metric(closed, 'millrace_streams_open')));
  // A client may have opened connections that it never used: those would be waited for.
  app.getHttpServer().closeAllConnections();
  await closing;
}

const replicas: Replica[] = [];

async function replica(streams: Partial<StreamSettings> = {}): Promise<Replica> {
  const booted = await boot(streams);
  replicas.push(booted);
  return booted;
}

async function stop(stopped: Replica): Promise<void> {
  replicas.splice(replicas.indexOf(stopped), 1);
  await close(stopped);
}

beforeAll(async () => {
  [database, testTopics] = await Promise.all([createTestDatabase(), createTestTopics()]);
  admin = createPool({ url: database.adminUrl, max: 2, applicationName: 'spec' });
  const kafka = new Kafka({ brokers: [...testTopics.brokers], logLevel: logLevel.NOTHING });
  producer = kafka.producer();
  await producer.connect();
});

afterAll(async () => {
  await Promise.all(replicas.map(close));
  await producer?.disconnect();
  await admin?.end();
  await database?.drop();
  await testTopics?.drop();
});

async function until<T>(look: () => Promise<T | undefined | false> | T | undefined | false) {
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const url = ({ port }: Replica, path: string) => `http://127.0.0.1:${port}${path}`;

interface Asked {
  readonly from?: string | undefined;
  readonly apiKey?: string;
  readonly signal?: AbortSignal;
}

function ask(at: Replica, job: string, { from, apiKey = key, signal }: Asked = {}) {
  const headers = {
    authorization: `Bearer ${apiKey}`,
    ...(from === undefined ? {} : { 'last-event-id': from }),
  };
  const init = signal === undefined ? { headers } : { headers, signal };
  return fetch(url(at, `/v1/jobs/${job}/events`), init);
}

async function submit(at: Replica, job: string, type = 'message'): Promise<void> {
  const response = await fetch(url(at, '/v1/jobs'), {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ job_id: job, prompt: 'p', type }),
  });
  expect(response.status).toBe(202);
}

async function publish(
  topic: Topic,
  o: { type: string; id: string; key: string; data: object },
): Promise<void> {
  const headers = {
    [cloudEventHeaders.id]: o.id,
    [cloudEventHeaders.source]: '/millrace/claude-worker',
    [cloudEventHeaders.type]: o.type,
    [cloudEventHeaders.specVersion]: '1.0',
    [cloudEventHeaders.tenant]: 'default',
  };
  const messages = [{ key: o.key, value: JSON.stringify(o.data), headers }];
  await producer.send({ topic: testTopics.prefix + topic.name, messages });
}

const delta = (id: string, start: number, text: string, attempt = 1, turn = 1) =>
  publish(topics.claudeDeltas, {
    type: 'millrace.claude.delta.v1',
    id: `default:${id}:${turn}:${attempt}:${start}`,
    key: `default/${id}`,
    data: { tenant: 'default', job_id: id, turn, attempt, start, text },
  });

/** A step of an agent's run, which is told twice. */
async function step(id: string, version: number, told: object): Promise<void> {
  const data = { tenant: 'default', job_id: id, workflow_id: id, version, index: 0, step: told };
  for (const _ of [1, 2]) {
    await publish(topics.claudeDeltas, {
      type: 'millrace.job.step.v1',
      id: `default:${id}:step:${version}`,
      key: `default/${id}`,
      data: { ...data, at: new Date().toISOString() },
    });
  }
}

/** The end of a job whose text is told by its deltas alone. */
const fail = (id: string, type = 'message') =>
  publish(topics.jobsFinished, {
    type: 'millrace.job.failed.v1',
    id: `default:${id}:finished`,
    key: id,
    data: {
      tenant: 'default',
      job_id: id,
      type,
      status: 'failed',
      error: { code: 'outcome_unknown', detail: 'the call was cut off' },
      attempts: [],
      created_at: new Date().toISOString(),
      finished_at: new Date().toISOString(),
    },
  });

const finish = (id: string, result: string, attempts = 1) =>
  publish(topics.jobsFinished, {
    type: 'millrace.job.succeeded.v1',
    id: `default:${id}:finished`,
    key: id,
    data: {
      tenant: 'default',
      job_id: id,
      type: 'message',
      status: 'succeeded',
      result,
      message: { id: 'msg_1', content: [{ type: 'text', text: result }] },
      attempts: Array.from({ length: attempts }, (_, index) => ({
        number: index + 1,
        outcome: index + 1 === attempts ? 'succeeded' : 'unknown',
        started_at: at,
        ended_at: at,
      })),
      created_at: new Date().toISOString(),
      finished_at: new Date().toISOString(),
    },
  });

interface Frame {
  readonly event: string;
  readonly id: string | undefined;
  readonly text: string | undefined;
}

/** Puts a job's text together over any number of connections, as a client of the contract does. */
class Reader {
  readonly frames: Frame[] = [];
  text = '';
  lastId: string | undefined;
  private cameWith: string | undefined;
  private cutOff = new AbortController();
  private reading: Promise<void> | undefined;

  constructor(private readonly job: string) {}

  async connect(at: Replica): Promise<void> {
    this.cutOff = new AbortController();
    this.cameWith = this.lastId;
    const response = await ask(at, this.job, { from: this.lastId, signal: this.cutOff.signal });
    expect(response.status).toBe(200);
    this.reading = this.read(response).catch(() => undefined);
  }

  async cut(): Promise<void> {
    this.cutOff.abort();
    await this.reading;
  }

  /** Resolves when the server has ended the connection. */
  async over(): Promise<void> {
    await this.reading;
  }

  has(event: string): boolean {
    return this.frames.some((frame) => frame.event === event);
  }

  async until(text: string): Promise<void> {
    await until(() => this.text === text);
  }

  private async read(response: Response): Promise<void> {
    const decoder = new TextDecoder();
    let rest = '';
    for await (const chunk of response.body!) {
      rest += decoder.decode(chunk, { stream: true });
      const blocks = rest.split('\n\n');
      rest = blocks.pop()!;
      for (const block of blocks) this.take(block);
    }
    // C1: no connection ends within an event.
    expect(rest).toBe('');
  }

  private take(block: string): void {
    const field = (name: string) =>
      block
        .split('\n')
        .find((line) => line.startsWith(`${name}: `))
        ?.slice(name.length + 2);
    const data = field('data');
    if (data === undefined) return;
    const event = field('event') ?? 'message';
    const id = field('id');
    const text: string | undefined = JSON.parse(data).text;
    this.frames.push({ event, id, text });
    if (event === 'stream.restarted' || event === 'turn.started') this.text = '';
    if (event === 'snapshot') {
      // For those who come without a place alone.
      expect(this.cameWith).toBeUndefined();
      this.text = String(text);
    }
    if (event === 'delta') this.text += String(text);
    if (event === 'delta' || event === 'snapshot') {
      expect(id?.split('~')[0]?.endsWith(`.${this.text.length}`)).toBe(true);
    }
    this.lastId = id ?? this.lastId;
  }
}

const metric = async ({ app }: Replica, line: string) =>
  (await app.get(Metrics, { strict: false }).registry.metrics())
    .split('\n')
    .find((each) => each.startsWith(`${line} `))
    ?.slice(line.length + 1);

describe('a job that is followed on two replicas', () => {
  let one: Replica;
  let other: Replica;

  beforeAll(async () => {
    [one, other] = await Promise.all([replica(), replica()]);
  });

  it('goes on at the other one after a cut, without gap or repeat', async () => {
    await submit(one, 'cut-1');
    const reader = new Reader('cut-1');
    await reader.connect(one);
    await delta('cut-1', 0, 'one ');
    await reader.until('one ');
    await reader.cut();
    await delta('cut-1', 4, 'two ');
    await reader.connect(other);
    await reader.until('one two ');
    await delta('cut-1', 8, 'three');
    await reader.until('one two three');
    await reader.cut();
    await finish('cut-1', 'one two three.');
    await reader.connect(one);
    await reader.over();
    expect(reader.text).toBe('one two three.');
    expect(reader.frames.at(-1)).toMatchObject({ event: 'job.succeeded', id: 'cut-1:end' });
    const texts = reader.frames.flatMap(({ text }) => (text === undefined ? [] : [text]));
    expect(texts).toEqual(['one ', 'two ', 'three', '.']);
    expect((await ask(other, 'cut-1', { from: 'cut-1:end' })).status).toBe(204);
  });

  it('tells the turns and steps of an agent, each once, wherever it is followed', async () => {
    await submit(one, 'agent-1', 'agent');
    const reader = new Reader('agent-1');
    await reader.connect(one);
    await step('agent-1', 1, { kind: 'model_call', turn: 1 });
    await delta('agent-1', 0, 'I look.');
    await reader.until('I look.');
    await reader.cut();
    await step('agent-1', 2, { kind: 'signal', name: 'go' });
    await delta('agent-1', 0, 'Found ', 1, 2);
    await reader.connect(other);
    await reader.until('Found ');
    await reader.cut();
    await delta('agent-1', 6, 'it.', 1, 2);
    await step('agent-1', 3, { kind: 'signal', name: 'done' });
    await reader.connect(one);
    await until(() => reader.frames.filter(({ event }) => event === 'step').length === 3);
    await finish('agent-1', 'a result that no turn says');
    await reader.over();
    const told = reader.frames.map(({ event, text }) => (text === undefined ? event : text));
    expect(told.filter((each) => !/^(stream.opened|job.running)$/.test(each))).toEqual([
      'step',
      'I look.',
      'step',
      'turn.started',
      'Found ',
      'it.',
      'step',
      'job.succeeded',
    ]);
    const late = new Reader('agent-1');
    await late.connect(other);
    await late.over();
    expect(late.frames.at(-1)?.event).toBe('job.succeeded');
  });

  it('tells after the end what is missing of texts that no result has, anywhere', async () => {
    for (const [id, type] of [
      ['broken-1', 'message'],
      ['agent-2', 'agent'],
    ] as const) {
      await submit(one, id, type);
      const reader = new Reader(id);
      await reader.connect(one);
      await delta(id, 0, 'Half a ');
      await reader.until('Half a ');
      await reader.cut();
      await delta(id, 7, 'sentence');
      if (type === 'agent') {
        await step(id, 1, { kind: 'signal', name: 'go' });
        await delta(id, 0, 'Found', 1, 2);
      }
      await fail(id, type);
      const ended = `SELECT 1 FROM ingest.jobs WHERE id = $1 AND status = 'failed'`;
      await until(async () => (await admin.query(ended, [id])).rows.length === 1);
      const { lastId, text } = reader;
      const kept = [];
      for (const at of [one, other]) {
        Object.assign(reader, { lastId, text, frames: [] });
        await reader.connect(at);
        await reader.over();
        kept.push(reader.frames.map((frame) => frame.text ?? frame.event));
      }
      const rest = type === 'agent' ? ['step', 'turn.started', 'Found'] : [];
      const missing = ['stream.opened', 'sentence', ...rest, 'job.failed'];
      expect(kept).toEqual([missing, missing]);
      const late = new Reader(id);
      await late.connect(other);
      await late.over();
      const told = late.frames.map((frame) => frame.text ?? frame.event);
      // A snapshot says itself of which turn it is.
      const whole = rest.filter((each) => each !== 'turn.started');
      expect(told).toEqual(['stream.opened', 'Half a sentence', ...whole, 'job.failed']);
    }
  });

  it('begins again when another attempt took over while nobody listened', async () => {
    await submit(one, 'cut-2');
    const reader = new Reader('cut-2');
    await reader.connect(one);
    await delta('cut-2', 0, 'half a sent');
    await reader.until('half a sent');
    await reader.cut();
    await delta('cut-2', 0, 'Another', 2);
    await reader.connect(other);
    await reader.until('Another');
    expect(reader.frames.slice(-2).map(({ event, id }) => [event, id])).toEqual([
      ['stream.restarted', 'cut-2:1.2.0'],
      ['delta', 'cut-2:1.2.7'],
    ]);
    await reader.cut();
    await finish('cut-2', 'The third says it all.', 3);
    await until(async () => (await admin.query(`SELECT 1 FROM ingest.jobs
      WHERE id = 'cut-2' AND status = 'succeeded'`)).rows.length === 1);
    await reader.connect(one);
    await reader.over();
    expect(reader.text).toBe('The third says it all.');
    expect(reader.frames.filter(({ event }) => event === 'stream.restarted')).toHaveLength(2);
  });

  it('gives who comes late all that was told before, wherever it opens', async () => {
    await submit(one, 'late-1');
    let text = '';
    for (let n = 0; n < 20; n += 1) {
      await delta('late-1', text.length, `word${n} `);
      text += `word${n} `;
      // What is acknowledged by Kafka was told: no replica shows less to who opens now.
      const late = new Reader('late-1');
      await late.connect(n % 2 === 0 ? other : one);
      await until(() => late.frames.length >= 3);
      expect(late.frames[1]).toMatchObject({ event: 'job.running' });
      expect(late.frames[2]).toEqual({ event: 'snapshot', id: `late-1:1.1.${text.length}`, text });
      await late.cut();
    }
  });

  it('is known to a replica that has just been started', async () => {
    await submit(one, 'restart-1');
    const reader = new Reader('restart-1');
    await reader.connect(one);
    await delta('restart-1', 0, 'before ');
    await reader.until('before ');
    const third = await replica();
    const late = new Reader('restart-1');
    await reader.cut();
    await Promise.all([late.connect(third), reader.connect(third)]);
    await late.until('before ');
    await delta('restart-1', 7, 'after');
    await Promise.all([late.until('before after'), reader.until('before after')]);
    // A stop ends its streams between two events; their clients go elsewhere.
    await stop(third);
    await Promise.all([late.over(), reader.over()]);
    await Promise.all([late.connect(other), reader.connect(one)]);
    await finish('restart-1', 'before after.');
    await Promise.all([late.over(), reader.over()]);
    expect([late.text, reader.text]).toEqual(['before after.', 'before after.']);
  });

  it('does not exist for another tenant, and for a key that was revoked', async () => {
    const hash = hashApiKey(otherKey);
    await admin.query(`INSERT INTO ingest.tenants (id, webhook_secrets) VALUES ('other', '[]')`);
    await admin.query(
      `INSERT INTO ingest.api_keys (key_hash, tenant, label) VALUES ($1, 'other', 'spec')`,
      [hash],
    );
    const [ours, theirs] = ['cut-1', 'nobodys'];
    for (const at of [one, other]) {
      const answers = [ours, theirs].map((job) => ask(at, job, { apiKey: otherKey }));
      const statuses = (await Promise.all(answers)).map(({ status }) => status);
      expect(statuses).toEqual([404, 404]);
    }
    await admin.query('DELETE FROM ingest.api_keys WHERE key_hash = $1', [hash]);
    expect((await ask(one, ours, { apiKey: otherKey })).status).toBe(401);
  });

  it('has no events a day after its end, and is still there', async () => {
    await submit(one, 'old-1');
    await finish('old-1', 'done');
    const finishedAt = (interval: string) =>
      admin.query(
        `UPDATE ingest.jobs SET finished_at = now() - $1::interval
         WHERE id = 'old-1' AND status = 'succeeded' RETURNING 1`,
        [interval],
      );
    await until(async () => (await finishedAt('23 hours 59 minutes')).rows.length === 1);
    expect((await ask(one, 'old-1')).status).toBe(200);
    await finishedAt('24 hours');
    for (const from of [undefined, 'old-1:1.1.2']) {
      const gone = await ask(other, 'old-1', { from });
      expect(gone.status).toBe(410);
      expect(await gone.json()).toMatchObject({ code: 'gone', trace_id: expect.any(String) });
    }
    const headers = { authorization: `Bearer ${key}` };
    const job = await fetch(url(one, '/v1/jobs/old-1'), { headers });
    expect(job.status).toBe(200);
    expect(await job.json()).toMatchObject({ id: 'old-1', result: 'done' });
  });
});

describe('a replica that cycles its connections', () => {
  it('ends them after whole events, and nothing is lost or told twice', async () => {
    const short = await replica({ lifeMs: 150 });
    const other = await replica({ lifeMs: 150 });
    await submit(short, 'cycle-1');
    const reader = new Reader('cycle-1');
    let text = '';
    const writing = (async () => {
      for (let n = 0; n < 150; n += 1) {
        await delta('cycle-1', text.length, `${n},`);
        text += `${n},`;
      }
      await finish('cycle-1', `${text}end`);
    })();
    let connections = 0;
    while (!reader.has('job.succeeded')) {
      await reader.connect(connections % 2 === 0 ? short : other);
      connections += 1;
      await reader.over();
    }
    await writing;
    expect(reader.text).toBe(`${text}end`);
    expect(connections).toBeGreaterThan(1);
    const cycled = await metric(short, 'millrace_streams_ended_total{outcome="cycled"}');
    expect(Number(cycled)).toBeGreaterThan(0);
    expect(reader.has('stream.restarted')).toBe(false);
    await Promise.all([stop(short), stop(other)]);
  });
});

describe('the room for streams', () => {
  it('ends with 429 and a time to come back, and is free again when one is over', async () => {
    const small = await replica({ tenantMax: 2, processMax: 10 });
    await submit(small, 'room-1');
    const readers = [new Reader('room-1'), new Reader('room-1')];
    for (const reader of readers) await reader.connect(small);
    const refused = await ask(small, 'room-1');
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await refused.json()).toMatchObject({ code: 'too_many_requests' });
    await readers[0]!.cut();
    const again = new Reader('room-1');
    await until(async () => again.connect(small).then(() => true, () => false));
    expect(await metric(small, 'millrace_streams_open')).toBe('2');
    await Promise.all([readers[1]!.cut(), again.cut()]);
    await stop(small);
  });
});

describe('a reader that does not read', () => {
  /** Opens a stream over a bare socket and takes nothing from it. */
  async function openStuck(at: Replica, job: string): Promise<Socket> {
    const socket = connect(at.port, '127.0.0.1');
    socket.pause();
    await new Promise((resolve) => socket.once('connect', resolve));
    socket.write(
      `GET /v1/jobs/${job}/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\n\r\n`,
    );
    return socket;
  }

  const ended = (at: Replica, outcome: string) =>
    until(async () => metric(at, `millrace_streams_ended_total{outcome="${outcome}"}`));

  it('is dropped, holds up nobody, and may come back for the rest', async () => {
    const one = await replica();
    await submit(one, 'slow-1');
    const reader = new Reader('slow-1');
    await reader.connect(one);
    const stuck = await openStuck(one, 'slow-1');
    await until(async () => (await metric(one, 'millrace_streams_open')) === '2');
    // The kernel's own buffers come first: some MiB on the loopback.
    const piece = 'x'.repeat(60_000);
    let length = 0;
    let isDropped = false;
    void ended(one, 'dropped').then(() => (isDropped = true));
    while (!isDropped) {
      await delta('slow-1', length, piece);
      length += piece.length;
      await until(() => reader.text.length === length);
    }
    expect(await metric(one, 'millrace_streams_open')).toBe('1');
    stuck.destroy();
    const back = new Reader('slow-1');
    back.lastId = 'slow-1:1.1.60000';
    back.text = piece;
    await back.connect(one);
    await until(() => back.text.length === length);
    await fail('slow-1');
    await Promise.all([reader.over(), back.over()]);
    expect([reader.text.length, back.text.length]).toEqual([length, length]);
    await stop(one);
  });

  it('costs nothing a while after the end of its stream', async () => {
    const one = await replica({ drainMsMax: 300, bufferedBytesMax: 1024 ** 3 });
    await submit(one, 'slow-2');
    const stuck = await openStuck(one, 'slow-2');
    const reader = new Reader('slow-2');
    await reader.connect(one);
    // More than the kernel takes: the rest stays with us until its time is over.
    const piece = 'y'.repeat(500_000);
    for (let n = 0; n < 24; n += 1) await delta('slow-2', n * piece.length, piece);
    await until(() => reader.text.length === 24 * piece.length);
    await fail('slow-2');
    await reader.over();
    expect(await metric(one, 'millrace_streams_open')).toBe('1');
    await until(async () => (await metric(one, 'millrace_streams_open')) === '0');
    expect(await metric(one, 'millrace_streams_ended_total{outcome="finished"}')).toBe('2');
    stuck.destroy();
    await stop(one);
  });
});

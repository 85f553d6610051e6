import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { OutgoingMessage, ServiceName, Topic } from '@millrace/contracts';
import { IdentityPayloadCodec, deadLetterTopicOf, topics } from '@millrace/contracts';
import { Metrics, SilentLogger } from '@millrace/runtime';
import { KafkaReader, createTestTopics } from '@millrace/testing';
import type { TestTopics } from '@millrace/testing';
import type { INestMicroservice, Type } from '@nestjs/common';
import { Controller } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { ROOT_CONTEXT } from '@opentelemetry/api';
import { Kafka, logLevel } from 'kafkajs';

import { createKafka } from './adapters/kafkajs-client.ts';
import type { KafkaClient } from './client.ts';
import { eventMessage } from './event-message.ts';
import { Publisher } from './publisher.ts';
import type { PublishableMessage } from './publisher.ts';
import type { EventRecord, RawRecord, StepResult } from './records.ts';
import { RawStep, Step } from './step.ts';
import { StepsStrategy } from './steps-strategy.ts';

jest.setTimeout(30_000);

const log = new SilentLogger();
const codec = new IdentityPayloadCodec();
const source: Topic = topics.jobsFinished;
const internal: Topic = topics.jobsProgressed;

interface Data {
  readonly job_id: string;
}

let isolated: TestTopics;
let kafka: KafkaClient;
let publisher: Publisher;
const started: { close(): Promise<void> }[] = [];

beforeAll(async () => {
  isolated = await createTestTopics();
  kafka = createKafka({ ...isolated, clientId: 'spec', log });
  publisher = new Publisher({ kafka, name: 'spec', log, metrics: new Metrics() });
  await publisher.connect();
});

afterEach(async () => {
  await Promise.all(started.splice(0).map((one) => one.close()));
});

afterAll(async () => {
  await publisher.disconnect();
  await isolated.drop();
});

interface Service {
  readonly strategy: StepsStrategy;
  readonly metrics: Metrics;
  readonly published: PublishableMessage[];
}

interface StartOptions {
  readonly service?: ServiceName;
  readonly handles: readonly Topic[];
  readonly group: string;
  readonly publisher?: Publisher;
}

/** A service with one controller, up and with its partitions. */
async function startService(controller: Type, options: StartOptions): Promise<Service> {
  const metrics = new Metrics();
  const strategy = new StepsStrategy({
    kafka,
    log,
    codec,
    metrics,
    publisher: options.publisher ?? publisher,
    groupId: options.group,
    service: options.service ?? 'ingest',
    handles: options.handles,
  });
  const module = await Test.createTestingModule({ controllers: [controller] }).compile();
  const app: INestMicroservice = module.createNestMicroservice({ strategy, logger: false });
  const joined = new Promise<void>((resolve) => strategy.on('joined', resolve));
  started.push(app);
  await app.listen();
  await joined;
  return { strategy, metrics, published: [] };
}

function finished(job: string, more: { key?: string; headers?: Record<string, string> } = {}) {
  const message = eventMessage({
    topic: source,
    type: 'millrace.job.failed.v1',
    id: `default:${job}:finished`,
    source: 'claude-worker',
    subject: job,
    key: more.key ?? job,
    time: new Date(),
    tenant: 'default',
    data: {
      tenant: 'default',
      job_id: job,
      type: 'message',
      status: 'failed',
      attempts: [],
      created_at: '2026-01-01T00:00:00Z',
      finished_at: '2026-01-01T00:00:01Z',
    },
    codec,
    context: ROOT_CONTEXT,
  });
  return { ...message, headers: { ...message.headers, ...more.headers } };
}

/** What a step publishes in these specs: any message to a topic of the table. */
function answer(job: string): OutgoingMessage {
  return eventMessage({
    topic: internal,
    type: 'millrace.job.progressed.v1',
    id: `default:${job}:progressed`,
    source: 'claude-worker',
    key: job,
    time: new Date(),
    tenant: 'default',
    data: {
      tenant: 'default',
      job_id: job,
      status: 'running',
      attempt: 1,
      created_at: '2026-01-01T00:00:00Z',
      at: '2026-01-01T00:00:00Z',
    },
    codec,
    context: ROOT_CONTEXT,
  });
}

async function committedOffsets(group: string, topic: Topic): Promise<Record<number, string>> {
  const admin = new Kafka({ brokers: [...isolated.brokers], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  try {
    const [entry] = await admin.fetchOffsets({
      groupId: isolated.prefix + group,
      topics: [isolated.prefix + topic.name],
    });
    return Object.fromEntries(entry?.partitions.map((one) => [one.partition, one.offset]) ?? []);
  } finally {
    await admin.disconnect();
  }
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 20));
}

function sum(offsets: Readonly<Record<number, string>>): number {
  return Object.values(offsets).reduce((total, offset) => total + Math.max(0, Number(offset)), 0);
}

interface RawBytes {
  readonly key?: string | null;
  readonly value: Buffer | null;
  readonly headers?: Record<string, string>;
}

/** Publishes raw bytes, as a careless upstream does. */
async function publishRaw(topic: Topic, messages: readonly RawBytes[]): Promise<void> {
  await publisher.publish(
    messages.map(({ key = null, value, headers = {} }) => ({
      topic: topic.name,
      key,
      value,
      headers,
    })),
  );
}

describe('a step', () => {
  it('gets decoded records, publishes, and only then moves the offset', async () => {
    const seen: EventRecord<Data>[] = [];
    const gate = { open: (): void => {} };
    const opened = new Promise<void>((resolve) => {
      gate.open = resolve;
    });

    @Controller()
    class Steps {
      @Step(source)
      async handle(records: readonly EventRecord<Data>[]): Promise<StepResult<EventRecord<Data>>> {
        seen.push(...records);
        await opened;
        return { publish: records.map(({ data }) => answer(data.job_id)) };
      }
    }

    await startService(Steps, { handles: [source], group: 'happy' });
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    await publisher.publish([finished('happy-1', { headers: { traceparent } })]);
    await until(() => seen.length === 1);
    expect(sum(await committedOffsets('happy', source))).toBe(0);
    expect(seen[0]).toMatchObject({
      type: 'millrace.job.failed.v1',
      id: 'default:happy-1:finished',
      key: 'happy-1',
      headers: { traceparent, ce_subject: 'happy-1' },
      data: { job_id: 'happy-1' },
    });

    gate.open();
    const reader = await new KafkaReader(isolated.prefix + internal.name).start();
    await reader.waitFor((all) =>
      all.some(({ headers }) => headers['ce_id'] === 'default:happy-1:progressed'),
    );
    await until(async () => sum(await committedOffsets('happy', source)) > 0);
    await reader.stop();
  });

  it('that throws gets the same records again, in order, whatever it throws', async () => {
    const calls: string[][] = [];

    @Controller()
    class Steps {
      @Step(source)
      handle(records: readonly EventRecord<Data>[]): Promise<StepResult<EventRecord<Data>>> {
        const jobs = records.map(({ data }) => data.job_id);
        const mine = jobs.filter((id) => id.startsWith('throws-'));
        if (mine.length > 0) calls.push(mine);
        if (mine.length > 0 && calls.length === 1) throw new TypeError('a bug');
        if (mine.length > 0 && calls.length === 2) return Promise.reject(new Error('no database'));
        return Promise.resolve({});
      }
    }

    await startService(Steps, { handles: [source], group: 'throws' });
    const key = 'throws';
    const jobs = ['throws-1', 'throws-2', 'throws-3'];
    await publisher.publish(jobs.map((job) => finished(job, { key })));
    await until(() => calls.length >= 3);
    expect(calls[0]).toEqual(jobs);
    expect(calls[1]).toEqual(calls[0]);
    expect(calls[2]).toEqual(calls[0]);

    await publisher.publish([finished('throws-4', { key })]);
    await until(() => calls.length >= 4);
    expect(calls[3]).toEqual(['throws-4']);
  });

  it('is handled again when its messages were not acknowledged', async () => {
    let calls = 0;
    let refused = 0;
    const failing = new Publisher({ kafka, name: 'failing', log, metrics: new Metrics() });
    const publish = failing.publish.bind(failing);
    failing.publish = async (messages) => {
      if (messages.length > 0 && refused === 0) {
        refused += 1;
        throw new Error('no broker');
      }
      await publish(messages);
    };

    @Controller()
    class Steps {
      @Step(source)
      handle(records: readonly EventRecord<Data>[]): Promise<StepResult<EventRecord<Data>>> {
        const mine = records.filter(({ data }) => data.job_id === 'unacked-1');
        calls += mine.length;
        return Promise.resolve({ publish: mine.map(({ data }) => answer(data.job_id)) });
      }
    }

    await startService(Steps, { handles: [source], group: 'unacked', publisher: failing });
    await publisher.publish([finished('unacked-1')]);
    await until(() => calls === 2);
    await failing.disconnect();
  });

  it('gets a message twice when it was delivered twice', async () => {
    const ids: string[] = [];

    @Controller()
    class Steps {
      @Step(source)
      handle(records: readonly EventRecord<Data>[]): Promise<void> {
        ids.push(...records.map(({ id }) => id).filter((id) => id.includes('twice')));
        return Promise.resolve();
      }
    }

    await startService(Steps, { handles: [source], group: 'twice' });
    const message = finished('twice-1');
    await publisher.publish([message, message]);
    await until(() => ids.length === 2);
    expect(new Set(ids).size).toBe(1);
  });

  it('that waits does not hold up the other partitions', async () => {
    const done: string[] = [];
    const gate = { open: (): void => {} };
    const opened = new Promise<void>((resolve) => {
      gate.open = resolve;
    });

    @Controller()
    class Steps {
      @Step(source)
      async handle(records: readonly EventRecord<Data>[]): Promise<void> {
        const mine = records.map(({ data }) => data.job_id);
        if (mine.includes('slow-0')) await opened;
        done.push(...mine.filter((id) => id.startsWith('slow-')));
      }
    }

    await startService(Steps, { handles: [source], group: 'slow' });
    await publisher.publish([finished('slow-0', { key: 'slow-0' })]);
    await publisher.publish(
      Array.from({ length: 30 }, (_, n) => finished(`slow-${n + 1}`, { key: `key-${n}` })),
    );
    await until(() => done.length >= 15);
    expect(done).not.toContain('slow-0');
    gate.open();
    await until(() => done.length === 31);
  });
});

describe('a bad record', () => {
  it('goes to the dead letters untouched, and the good ones around it go on', async () => {
    const seen: string[] = [];

    @Controller()
    class Steps {
      @Step(source)
      handle(records: readonly EventRecord<Data>[]): Promise<void> {
        const jobs = records.map(({ data }) => data.job_id);
        seen.push(...jobs.filter((id) => id.startsWith('good-')));
        return Promise.resolve();
      }
    }

    await startService(Steps, { handles: [source], group: 'bad', service: 'webhook-dispatcher' });
    const good = finished('good-1', { key: 'bad' });
    const type = { ce_type: 'millrace.job.failed.v1', odd: 'ä' };
    const bad: [string, Buffer | null, Record<string, string>][] = [
      ['empty_record', null, type],
      ['not_utf8', Buffer.from([0x7b, 0xff, 0xfe]), type],
      ['malformed_json', Buffer.from('{"job_id":'), type],
      ['malformed_json', Buffer.from('['.repeat(100)), type],
      ['invalid_request', Buffer.from('{"job_id":7}'), type],
      ['unknown_type', good.value, { ce_type: 'millrace.job.exploded.v1' }],
      ['unknown_type', good.value, {}],
      // Names that every object has something of.
      ['invalid_request', Buffer.from('{}'), { ...type, constructor: 'c', toString: 't' }],
    ];
    await publisher.publish([
      good,
      ...bad.map(([, value, headers]) => ({ topic: source.name, key: 'bad', value, headers })),
      finished('good-2', { key: 'bad' }),
    ]);
    const reader = await new KafkaReader(isolated.prefix + deadLetterTopicOf(source.name)).start();
    const all = await reader.waitFor((read) => read.filter(isOurs).length >= bad.length);
    const letters = all.filter(isOurs);
    await until(() => seen.includes('good-2'));
    expect(seen).toEqual(['good-1', 'good-2']);
    expect(letters.map(({ headers }) => headers['dlq-reason'])).toEqual(bad.map(([code]) => code));
    for (const [index, [, value, headers]] of bad.entries()) {
      expect(letters[index]?.value).toEqual(value);
      expect(letters[index]?.key?.toString()).toBe('bad');
      expect(letters[index]?.headers).toMatchObject(headers);
      expect(letters[index]?.headers).toMatchObject({
        'dlq-topic': source.name,
        'dlq-service': 'webhook-dispatcher',
        'dlq-attempts': '1',
      });
    }
    await reader.stop();
  });

  it('of an unknown type on an internal topic parks its partition', async () => {
    const seen: string[] = [];

    @Controller()
    class Steps {
      @Step(internal)
      handle(records: readonly EventRecord<Data>[]): Promise<void> {
        const jobs = records.map(({ data }) => data.job_id);
        seen.push(...jobs.filter((id) => id.startsWith('park-')));
        return Promise.resolve();
      }
    }

    const { metrics } = await startService(Steps, { handles: [internal], group: 'park' });
    const good = answer('park-1');
    const unknown = { ...good, headers: { ...good.headers, ce_type: 'millrace.job.exploded.v1' } };
    await publisher.publish([good, unknown, { ...answer('park-2'), key: good.key }]);
    const gauge = metrics.gauge('millrace_partition_parked', { help: '' });
    await until(async () => (await gauge.get()).values.some(({ value }) => value === 1));
    expect(seen).toEqual(['park-1']);
  });
});

describe('a raw step', () => {
  it('gets bytes, null keys and empty values as they are', async () => {
    const seen: RawRecord[] = [];

    @Controller()
    class Steps {
      @RawStep(topics.jobsSubmitted)
      handle(records: readonly RawRecord[]): Promise<StepResult<RawRecord>> {
        seen.push(...records);
        const deadLetters = records
          .filter(({ value }) => value === null)
          .map((record) => ({ record, code: 'empty_record' as const, detail: 'nothing in it' }));
        return Promise.resolve({ deadLetters });
      }
    }

    await startService(Steps, { handles: [topics.jobsSubmitted], group: 'raw' });
    const reader = await new KafkaReader(
      isolated.prefix + deadLetterTopicOf(topics.jobsSubmitted.name),
    ).start();
    const bytes = Buffer.from([0, 255, 1]);
    const empty = { value: null, headers: { a: 'b' } };
    await publishRaw(topics.jobsSubmitted, [{ value: bytes }, empty]);
    await until(() => seen.length === 2);
    expect(seen.map(({ value }) => value)).toContainEqual(bytes);
    expect(seen.every(({ key }) => key === null)).toBe(true);
    expect(seen[0]?.clusterId).toMatch(/.+/);
    const [letter] = await reader.waitFor(1);
    expect(letter).toMatchObject({
      value: null,
      headers: { a: 'b', 'dlq-reason': 'empty_record', 'dlq-detail': 'nothing in it' },
    });
    await reader.stop();
  });
});

describe('a service', () => {
  it('refuses to boot with an unhandled topic, or a handler of a foreign one', async () => {
    @Controller()
    class Foreign {
      @Step(topics.claudeRequested)
      handle(): Promise<void> {
        return Promise.resolve();
      }
    }
    const options = { handles: [source], group: 'unhandled' };
    await expect(startService(Foreign, options)).rejects.toThrow(
      /claude\.requested\.v1 has a handler.*not give it to ingest.*jobs\.finished\.v1 has no/,
    );
  });

  it('closes during its start, and twice', async () => {
    const strategy = new StepsStrategy({
      kafka,
      log,
      codec,
      publisher,
      metrics: new Metrics(),
      groupId: 'closing',
      service: 'ingest',
      handles: [source],
    });
    strategy.addHandler(source.name, () => Promise.resolve({}), true, {
      'millrace.step': { topic: source, form: 'event' },
    });
    strategy.listen((error) => expect(error).toBeUndefined());
    await Promise.all([strategy.close(), strategy.close()]);
    await strategy.close();
  });

  it('hands its partitions over when another member comes, and takes them back', async () => {
    const seen = new Set<string>();

    @Controller()
    class Steps {
      @Step(source)
      handle(records: readonly EventRecord<Data>[]): Promise<void> {
        for (const { data } of records) seen.add(data.job_id);
        return Promise.resolve();
      }
    }

    const options = { handles: [source], group: 'members' };
    await startService(Steps, options);
    const publishing = Array.from({ length: 200 }, (_, n) => finished(`member-${n}`));
    const flow = (async () => {
      for (const message of publishing) {
        await publisher.publish([message]);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    })();
    const second = await startService(Steps, options);
    await second.strategy.close();
    await flow;
    await until(() => publishing.every((_, n) => seen.has(`member-${n}`)));
  });
});

function isOurs({ key }: { key: Buffer | null }): boolean {
  return key?.toString() === 'bad';
}

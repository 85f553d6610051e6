import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { Topic } from '@millrace/contracts';
import { IdentityPayloadCodec, deadLetterTopicOf, topics } from '@millrace/contracts';
import { HealthChecks, Metrics, SilentLogger } from '@millrace/runtime';
import { KafkaReader, createTestTopics, testBrokers } from '@millrace/testing';
import type { TestTopics } from '@millrace/testing';
import type { Admin } from 'kafkajs';
import { ConfigResourceTypes, Kafka, logLevel } from 'kafkajs';

import { createKafka } from './adapters/kafkajs-client.ts';
import type { KafkaClient } from './client.ts';
import { Publisher } from './publisher.ts';
import type { RawRecord, StepResult } from './records.ts';
import { StepsStrategy } from './steps-strategy.ts';

jest.setTimeout(40_000);

const log = new SilentLogger();
const topic: Topic = topics.jobsSubmitted;
const otherClient = new Kafka({ brokers: testBrokers(), logLevel: logLevel.NOTHING });

type Handle = (records: readonly RawRecord[]) => Promise<StepResult<RawRecord>>;

let isolated: TestTopics;
let kafka: KafkaClient;
let publisher: Publisher;
let admin: Admin;
const members: StepsStrategy[] = [];

beforeAll(async () => {
  isolated = await createTestTopics([topic]);
  kafka = createKafka({ ...isolated, clientId: 'spec', log });
  publisher = new Publisher({ kafka, name: 'spec', log, metrics: new Metrics() });
  admin = otherClient.admin();
  await Promise.all([publisher.connect(), admin.connect()]);
});

afterEach(async () => {
  await Promise.all(members.splice(0).map((member) => member.close()));
});

afterAll(async () => {
  await admin.disconnect();
  await publisher.disconnect();
  await isolated.drop();
});

/** A member of a group that was told to start. */
function startMember(group: string, handle: Handle, health?: HealthChecks): StepsStrategy {
  const member = new StepsStrategy({
    kafka,
    log,
    publisher,
    codec: new IdentityPayloadCodec(),
    metrics: new Metrics(),
    groupId: group,
    service: 'ingest',
    handles: [topic],
    ...(health === undefined ? {} : { health }),
  });
  members.push(member);
  const extras = { 'millrace.step': { topic, form: 'raw' } };
  member.addHandler(topic.name, handle, true, extras);
  member.listen((error) => expect(error).toBeUndefined());
  return member;
}

function joined(member: StepsStrategy): Promise<void> {
  return new Promise((resolve) => member.on('joined', resolve));
}

interface Sent {
  readonly key?: string | null;
  readonly text: string;
}

async function send(records: readonly Sent[]): Promise<void> {
  await publisher.publish(
    records.map(({ key = null, text }) => ({
      topic: topic.name,
      key,
      headers: {},
      value: Buffer.from(text),
    })),
  );
}

/** Texts of the records of one spec: all specs share the topic. */
function textsOf(records: readonly RawRecord[], prefix: string): string[] {
  return records.map(({ value }) => String(value)).filter((text) => text.startsWith(prefix));
}

function texts(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, n) => `${prefix}${n}`);
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** What is not committed of the topic, as the broker counts it. */
async function openRecords(group: string): Promise<number> {
  const ends = await admin.fetchTopicOffsets(isolated.prefix + topic.name);
  const [read] = await admin.fetchOffsets({
    groupId: isolated.prefix + group,
    topics: [isolated.prefix + topic.name],
  });
  return ends.reduce((open, { partition, high }) => {
    const done = read?.partitions.find((one) => one.partition === partition)?.offset ?? '0';
    return open + Number(high) - Math.max(0, Number(done));
  }, 0);
}

async function groupState(group: string): Promise<string | undefined> {
  const { groups } = await admin.describeGroups([isolated.prefix + group]);
  return groups[0]?.state;
}

describe('a step', () => {
  it('passes over gaps: aborted transactions and control records', async () => {
    const seen: string[] = [];
    startMember('gaps', (records) => {
      seen.push(...textsOf(records, 'gap-'));
      return Promise.resolve({});
    });
    const producer = otherClient.producer({
      transactionalId: `${isolated.prefix}gaps`,
      idempotent: true,
      maxInFlightRequests: 1,
    });
    await producer.connect();
    for (const [text, isKept] of [['a', true], ['b', false], ['c', false], ['d', true]] as const) {
      const transaction = await producer.transaction();
      const messages = [{ key: 'gap', value: `gap-${text}` }];
      await transaction.send({ topic: isolated.prefix + topic.name, messages });
      await (isKept ? transaction.commit() : transaction.abort());
    }
    await producer.disconnect();
    await send([{ key: 'gap', text: 'gap-e' }]);
    await until(() => seen.includes('gap-e'));
    expect(seen).toEqual(['gap-a', 'gap-d', 'gap-e']);
  });

  it('keeps the order of a hot key beside records without a key', async () => {
    const hot: string[] = [];
    const keyless: string[] = [];
    startMember('hot', (records) => {
      hot.push(...textsOf(records, 'hot-'));
      keyless.push(...textsOf(records, 'keyless-'));
      return Promise.resolve({});
    });
    await send(texts('hot-', 1_000).map((text) => ({ key: 'one', text })));
    await send(texts('keyless-', 50).map((text) => ({ text })));
    await until(() => hot.length >= 1_000 && keyless.length >= 50);
    expect(hot).toEqual(texts('hot-', 1_000));
    await until(async () => (await openRecords('hot')) === 0);
  });

  it('that never settles fails the liveness, and the other partitions go on', async () => {
    const seen: string[] = [];
    const health = new HealthChecks('spec');
    let release = (): void => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    let isHanging = false;
    const handle: Handle = async (records) => {
      const mine = textsOf(records, 'hang-');
      if (mine.includes('hang-first')) {
        isHanging = true;
        await released;
      }
      seen.push(...mine);
      return {};
    };
    startMember('hang', handle, health);
    await send([{ key: 'hang', text: 'hang-first' }]);
    await until(() => isHanging);
    await send(texts('hang-', 60).map((text) => ({ key: text, text })));
    await until(() => seen.length >= 20);
    expect(seen).not.toContain('hang-first');
    expect(await health.liveness()).toMatchObject({ status: 'ok' });
    const later = Date.now() + 121_000;
    const clock = jest.spyOn(Date, 'now').mockReturnValue(later);
    const report = await health.liveness();
    clock.mockRestore();
    expect(report).toMatchObject({ status: 'failing' });
    release();
    await until(() => seen.length === 61);
  });

  it('waits for its dead letter topic, skips nothing, and holds up nobody else', async () => {
    const seen: string[] = [];
    startMember('refused', (records) => {
      seen.push(...textsOf(records, 'refused-'));
      const bad = records.filter(({ value }) => String(value) === 'refused-bad');
      return Promise.resolve({
        deadLetters: bad.map((record) => ({ record, code: 'bad_row' as const, detail: 'bad' })),
      });
    });
    const letters = isolated.prefix + deadLetterTopicOf(topic.name);
    await admin.deleteTopics({ topics: [letters] });
    await send([{ key: 'refused', text: 'refused-bad' }]);
    await until(() => seen.filter((text) => text === 'refused-bad').length >= 2);
    await send(texts('refused-', 60).map((text) => ({ key: text, text })));
    await until(() => new Set(seen).size > 20);
    expect(await openRecords('refused')).toBeGreaterThan(0);

    const own = { topic: letters, numPartitions: 1, replicationFactor: 1 };
    await admin.createTopics({ topics: [own], waitForLeaders: true });
    const reader = await new KafkaReader(letters).start();
    const [letter] = await reader.waitFor(1);
    expect(String(letter?.value)).toBe('refused-bad');
    await until(async () => new Set(seen).size === 61 && (await openRecords('refused')) === 0);
    await reader.stop();
  });

  it('waits too for a dead letter topic that takes no letter of its size', async () => {
    const seen: string[] = [];
    startMember('narrow', (records) => {
      seen.push(...textsOf(records, 'narrow-'));
      const bad = records.filter(({ value }) => String(value).startsWith('narrow-bad'));
      return Promise.resolve({
        deadLetters: bad.map((record) => ({ record, code: 'bad_row' as const, detail: 'bad' })),
      });
    });
    const letters = isolated.prefix + deadLetterTopicOf(topic.name);
    await limitMessages(letters, 256);
    const bad = `narrow-bad ${'x'.repeat(500)}`;
    await send([{ key: 'narrow', text: bad }]);
    await until(() => seen.filter((text) => text === bad).length >= 2);
    await send(texts('narrow-', 60).map((text) => ({ key: text, text })));
    await until(() => new Set(seen).size > 20);
    expect(await openRecords('narrow')).toBeGreaterThan(0);

    await limitMessages(letters, 1_048_576);
    const reader = await new KafkaReader(letters).start();
    await reader.waitFor((found) => found.some(({ value }) => String(value) === bad));
    await until(async () => new Set(seen).size === 61 && (await openRecords('narrow')) === 0);
    await reader.stop();
  });

  async function limitMessages(name: string, bytes: number): Promise<void> {
    const entry = { name: 'max.message.bytes', value: String(bytes) };
    const resource = { type: ConfigResourceTypes.TOPIC, name, configEntries: [entry] };
    await admin.alterConfigs({ validateOnly: false, resources: [resource] });
  }
});

describe('members of a group', () => {
  it('that join and leave every 2 s lose nothing, and work goes on', async () => {
    const seen = new Set<string>();
    const handle: Handle = (records) => {
      for (const text of textsOf(records, 'churn-')) seen.add(text);
      return Promise.resolve({});
    };
    await joined(startMember('churn', handle));
    let sent = 0;
    let isOver = false;
    const flow = (async () => {
      while (!isOver) {
        await send([{ key: `key-${sent % 20}`, text: `churn-${sent}` }]);
        sent += 1;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    })();
    const progress: number[] = [];
    for (let turn = 0; turn < 5; turn += 1) {
      const guest = startMember('churn', handle);
      await new Promise((resolve) => setTimeout(resolve, 2_000));
      await guest.close();
      progress.push(seen.size);
    }
    isOver = true;
    await flow;
    await until(async () => seen.size === sent && (await openRecords('churn')) === 0);
    expect(progress.at(-1)).toBeGreaterThan(progress[0] ?? 0);
  });

  it('that come and go with nobody who stays lose nothing, and work goes on', async () => {
    const seen = new Set<string>();
    const handle: Handle = (records) => {
      for (const text of textsOf(records, 'relay-')) seen.add(text);
      return Promise.resolve({});
    };
    let sent = 0;
    let isOver = false;
    const flow = (async () => {
      while (!isOver) {
        await send([{ key: `key-${sent % 20}`, text: `relay-${sent}` }]);
        sent += 1;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    })();
    let runner = startMember('relay', handle);
    await joined(runner);
    const progress: number[] = [];
    for (let turn = 0; turn < 5; turn += 1) {
      // The next one comes before the last has gone, in the middle of its work or of its join.
      const next = startMember('relay', handle);
      const hasJoined = joined(next);
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      await runner.close();
      runner = next;
      await hasJoined;
      progress.push(seen.size);
    }
    isOver = true;
    await flow;
    await until(async () => seen.size === sent && (await openRecords('relay')) === 0);
    expect(progress.at(-1)).toBeGreaterThan(progress[0] ?? 0);
  });

  it('may be closed at any time of their start: another takes all, and none lives on', async () => {
    const seen = new Set<string>();
    const handle: Handle = (records) => {
      for (const text of textsOf(records, 'early-')) seen.add(text);
      return Promise.resolve({});
    };
    await send(texts('early-', 30).map((text) => ({ key: text, text })));
    for (const afterMs of [0, 1, 5, 20, 50, 100, 200, 400]) {
      const member = startMember('early', handle);
      await new Promise((resolve) => setTimeout(resolve, afterMs));
      await member.close();
    }
    await until(async () => (await groupState('early')) !== 'Stable');
    await joined(startMember('early', handle));
    await until(async () => seen.size === 30 && (await openRecords('early')) === 0);
  });

  it('may be closed in the middle of a rebalance: another takes all they had', async () => {
    const seen = new Set<string>();
    const handle: Handle = (records) => {
      for (const text of textsOf(records, 'closed-')) seen.add(text);
      return Promise.resolve({});
    };
    const first = startMember('closed', handle);
    await joined(first);
    const second = startMember('closed', handle);
    // The first hears of it by its next heartbeat: until then the group waits for it.
    await until(async () => (await groupState('closed')) === 'PreparingRebalance');
    await Promise.all([first.close(), second.close()]);
    const last = startMember('closed', handle);
    await joined(last);
    await send(texts('closed-', 30).map((text) => ({ key: text, text })));
    await until(() => seen.size === 30);
  });
});

import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { Topic } from '@millrace/contracts';
import { topics } from '@millrace/contracts';
import { Metrics, SilentLogger } from '@millrace/runtime';
import { KafkaReader, TestBroker } from '@millrace/testing';
import type { Admin } from 'kafkajs';
import { Kafka, logLevel } from 'kafkajs';

import { createKafka } from './adapters/kafkajs-client.ts';
import type { KafkaClient } from './client.ts';
import { Publisher } from './publisher.ts';
import { publishUntilTaken, startRawMember, type RawHandle } from './raw-member.fixture.ts';
import type { RawRecord } from './records.ts';
import type { StepsStrategy } from './steps-strategy.ts';

jest.setTimeout(60_000);

const log = new SilentLogger();
const partitions = 3;
const named = (name: string): Topic => ({ ...topics.jobsSubmitted, name });
const dropped = named('dropped');
const killed = named('killed');
const committed = named('committed');
const moved = named('moved');
const led = named('led');
const compacted = named('compacted');

let broker: TestBroker;
let kafka: KafkaClient;
let publisher: Publisher;
let admin: Admin;
const members: StepsStrategy[] = [];

beforeAll(async () => {
  broker = await TestBroker.start(['log.cleaner.backoff.ms=100']);
  const { brokers } = broker;
  kafka = createKafka({ brokers, clientId: 'spec', log });
  publisher = new Publisher({ kafka, name: 'spec', log, metrics: new Metrics() });
  admin = new Kafka({ brokers, logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  await admin.createTopics({
    waitForLeaders: true,
    topics: [
      ...[dropped, killed, committed, moved, led].map(({ name }) => ({
        topic: name,
        numPartitions: partitions,
      })),
      {
        topic: compacted.name,
        numPartitions: 1,
        configEntries: [
          { name: 'cleanup.policy', value: 'compact' },
          { name: 'segment.ms', value: '100' },
          { name: 'min.cleanable.dirty.ratio', value: '0.01' },
        ],
      },
    ],
  });
});

afterEach(async () => {
  await Promise.all(members.splice(0).map((member) => member.close()));
});

afterAll(async () => {
  await admin.disconnect();
  await publisher.disconnect();
  await broker.stop();
});

async function startMember(topic: Topic, handle: RawHandle): Promise<StepsStrategy> {
  const groupId = topic.name;
  const member = await startRawMember({ kafka, publisher, topic, groupId, handle });
  members.push(member);
  return member;
}

function publish(topic: Topic, key: string, text: string): Promise<void> {
  return publishUntilTaken(publisher, { topic, key, text });
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await delay(20);
}

/** Committed offsets by partition; 0 where there is none. */
async function offsetsOf({ name }: Topic): Promise<number[]> {
  const [read] = await admin.fetchOffsets({ groupId: name, topics: [name] });
  const offsets = Array.from({ length: partitions }, () => 0);
  for (const { partition, offset } of read?.partitions ?? []) {
    offsets[partition] = Math.max(0, Number(offset));
  }
  return offsets;
}

async function isAllCommitted(topic: Topic): Promise<boolean> {
  const ends = await admin.fetchTopicOffsets(topic.name);
  const offsets = await offsetsOf(topic);
  return ends.every(({ partition, high }) => offsets[partition] === Number(high));
}

const texts = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, n) => `${prefix}${n}`);
const textOf = ({ value }: Pick<RawRecord, 'value'>): string => String(value);

/** Each text once, where it came first. */
function firstOf(seen: readonly string[]): string[] {
  return [...new Set(seen)];
}

describe('a connection that is cut after the broker appended', () => {
  it('doubles a message and loses none, and the first copies are in order', async () => {
    const seen: string[] = [];
    await startMember(dropped, (records) => {
      seen.push(...records.map(textOf));
      return Promise.resolve({});
    });
    const cutsBefore = broker.proxy.cuts;
    const all = texts('cut-', 60);
    for (const [n, text] of all.entries()) {
      // More in a row than kafkajs itself repeats: then the maker does.
      if (n % 10 === 0) broker.proxy.cutProduces(n === 30 ? 7 : 1);
      await publish(dropped, 'one', text);
    }
    await until(() => firstOf(seen).length === all.length);
    expect(firstOf(seen)).toEqual(all);
    expect(broker.proxy.cuts - cutsBefore).toBe(12);
    expect(seen.length).toBeGreaterThan(all.length);
    await until(() => isAllCommitted(dropped));
  });
});

describe('a commit that is refused', () => {
  it.each([
    ['UNKNOWN_TOPIC_OR_PARTITION', 3],
    ['REQUEST_TIMED_OUT', 7],
    ['OFFSET_METADATA_TOO_LARGE', 12],
    ['COORDINATOR_LOAD_IN_PROGRESS', 14],
    ['COORDINATOR_NOT_AVAILABLE', 15],
    ['NOT_COORDINATOR', 16],
    ['ILLEGAL_GENERATION', 22],
    ['INVALID_GROUP_ID', 24],
    ['UNKNOWN_MEMBER_ID', 25],
    ['REBALANCE_IN_PROGRESS', 27],
    ['INVALID_COMMIT_OFFSET_SIZE', 28],
    ['TOPIC_AUTHORIZATION_FAILED', 29],
    ['GROUP_AUTHORIZATION_FAILED', 30],
    ['FENCED_INSTANCE_ID', 82],
  ])('with %s is repeated: nothing is lost, and nothing stays open', async (name, code) => {
    const seen: string[] = [];
    await startMember(committed, (records) => {
      seen.push(...records.map(textOf));
      return Promise.resolve({});
    });
    const failedBefore = broker.proxy.commitsFailed;
    broker.proxy.failCommits([code, code, code]);
    const all = texts(`${name}-`, 30);
    await Promise.all(all.map((text) => publish(committed, text, text)));
    // No more records come: the commit has to be repeated for its own sake.
    await until(() => isAllCommitted(committed));
    expect(new Set(seen)).toEqual(new Set(all));
    expect(broker.proxy.commitsFailed).toBe(failedBefore + 3);
  });
});

describe('a commit without an answer', () => {
  it.each([
    ['that was taken before its connection was cut', () => broker.proxy.cutCommits(3)],
    ['that did not arrive', () => broker.proxy.swallowCommits(1)],
  ])('%s is repeated: nothing is lost, and nothing stays open', async (name, spoil) => {
    const seen: string[] = [];
    await startMember(committed, (records) => {
      seen.push(...records.map(textOf));
      return Promise.resolve({});
    });
    spoil();
    const all = texts(`${name}-`, 30);
    for (const text of all) await publish(committed, text, text);
    await until(() => all.every((text) => seen.includes(text)));
    await until(() => isAllCommitted(committed));
    await publish(committed, 'after', `after ${name}`);
    await until(() => seen.includes(`after ${name}`));
    await until(() => isAllCommitted(committed));
  });
});

describe('a leader that changes', () => {
  const notLeader = 6;

  it('is found again: what is published then is there, and in order', async () => {
    const seen: string[] = [];
    await startMember(led, (records) => {
      seen.push(...records.map(textOf));
      return Promise.resolve({});
    });
    const before = broker.proxy.answersFailed;
    const all = texts('led-', 30);
    for (const [n, text] of all.entries()) {
      if (n % 10 === 5) broker.proxy.failProduces([notLeader, notLeader]);
      if (n % 10 === 7) broker.proxy.failFetches([notLeader, notLeader]);
      await publish(led, 'one', text);
    }
    await until(() => firstOf(seen).length === all.length);
    expect(firstOf(seen)).toEqual(all);
    expect(broker.proxy.answersFailed - before).toBeGreaterThanOrEqual(6 + 2);
    await until(() => isAllCommitted(led));
  });
});

describe('a member that no longer owns a partition', () => {
  it('commits nothing of it, however late its batch ends', async () => {
    let release = (): void => undefined;
    const released = new Promise<void>((resolve) => (release = resolve));
    const held = new Set<number>();
    await startMember(moved, async (records) => {
      for (const { partition } of records) held.add(partition);
      await released;
      return {};
    });
    const byPartition = (text: string) =>
      admin.fetchTopicOffsets(moved.name).then((ends) =>
        Promise.all(ends.map(({ partition }) => sendTo(moved, partition, text))),
      );
    await byPartition('first');
    await until(() => held.size === partitions);

    const taken = new Set<number>();
    await startMember(moved, (records) => {
      for (const { partition } of records) taken.add(partition);
      return Promise.resolve({});
    });
    await byPartition('second');
    // The heir is done with both records of what it got.
    await until(async () => {
      const offsets = await offsetsOf(moved);
      return taken.size > 0 && [...taken].every((partition) => offsets[partition] === 2);
    });
    const lowest = [...taken].map(() => 2);
    release();
    await until(async () => {
      const offsets = await offsetsOf(moved);
      [...taken].forEach((partition, i) => {
        lowest[i] = Math.min(lowest[i] ?? 0, offsets[partition] ?? 0);
      });
      return offsets.every((offset) => offset === 2);
    });
    expect(lowest).toEqual([...taken].map(() => 2));
  });
});

async function sendTo(topic: Topic, partition: number, value: string): Promise<void> {
  const producer = new Kafka({ brokers: broker.brokers, logLevel: logLevel.NOTHING }).producer();
  await producer.connect();
  await producer.send({ topic: topic.name, messages: [{ partition, value }] });
  await producer.disconnect();
}

describe('offset gaps that compaction leaves', () => {
  it('are passed over: no record twice, none skipped, and the commits are past them', async () => {
    for (let round = 0; round < 6; round += 1) {
      for (const key of ['a', 'b', 'c']) await publish(compacted, key, `${key}-${round}`);
      // A segment is closed by the first record after its time.
      await delay(120);
    }
    await publish(compacted, 'last', 'last');
    await hasGaps();
    const seen: string[] = [];
    const handle: RawHandle = (records) => {
      seen.push(...records.map(textOf));
      return Promise.resolve({});
    };
    const first = await startMember(compacted, handle);
    await until(() => seen.includes('last'));
    await until(async () => (await offsetsOf(compacted))[0] === 19);
    expect(seen).toEqual(expect.arrayContaining(['a-5', 'b-5', 'c-5', 'last']));
    expect(seen.length).toBeLessThan(19);
    expect(firstOf(seen)).toEqual(seen);
    await first.close();

    await startMember(compacted, handle);
    await publish(compacted, 'after', 'after');
    await until(() => seen.includes('after'));
    expect(firstOf(seen)).toEqual(seen);
  });

  /** Resolves when a reader of the topic finds that the broker has compacted something away. */
  async function hasGaps(): Promise<void> {
    for (;;) {
      const reader = await new KafkaReader(compacted.name, broker.brokers).start();
      const isLast = ({ value }: { value: Buffer | null }) => String(value) === 'last';
      const found = await reader.waitFor((messages) => messages.some(isLast));
      await reader.stop();
      if (found.length < 19) return;
    }
  }
});

describe('a broker that is killed in the middle of produces', () => {
  it('has every acknowledged message afterwards, and those of a key in order', async () => {
    const acknowledged: string[] = [];
    let isOver = false;
    const flow = async (key: string): Promise<void> => {
      for (let n = 0; !isOver; n += 1) {
        await publish(killed, key, `${key}-${n}`);
        acknowledged.push(`${key}-${n}`);
      }
    };
    const flows = ['a', 'b', 'c', 'd', 'e'].map(flow);
    const isFurther = (than: number) => until(() => acknowledged.length > than + 100);
    await isFurther(0);
    await broker.kill();
    const before = acknowledged.length;
    await broker.restart();
    await isFurther(before);
    isOver = true;
    await Promise.all(flows);

    const reader = await new KafkaReader(killed.name, broker.brokers).start();
    const all = new Set(acknowledged);
    const found = await reader.waitFor((messages) => {
      const values = new Set(messages.map(textOf));
      return acknowledged.every((text) => values.has(text));
    });
    for (const key of ['a', 'b', 'c', 'd', 'e']) {
      const ofKey = found.filter((message) => String(message.key) === key).map(textOf);
      const numbers = firstOf(ofKey).map((text) => Number(text.slice(2)));
      expect(numbers).toEqual(numbers.map((_, n) => n));
    }
    expect(all.size).toBe(acknowledged.length);
    await reader.stop();
  });
});

import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';
import type { Topic } from '@millrace/contracts';
import { topics } from '@millrace/contracts';
import { Metrics, SilentLogger } from '@millrace/runtime';
import { TestCluster } from '@millrace/testing';
import type { Admin } from 'kafkajs';
import { Kafka, logLevel } from 'kafkajs';

import { createKafka } from './adapters/kafkajs-client.ts';
import type { KafkaClient } from './client.ts';
import { Publisher } from './publisher.ts';
import { publishUntilTaken, startRawMember } from './raw-member.fixture.ts';
import type { RawRecord } from './records.ts';
import type { StepsStrategy } from './steps-strategy.ts';

jest.setTimeout(180_000);

const log = new SilentLogger();
const topic: Topic = { ...topics.jobsSubmitted, name: 'led-by-three' };
const partitions = 6;
const keys = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];

let cluster: TestCluster;
let kafka: KafkaClient;
let publisher: Publisher;
let admin: Admin;
let member: StepsStrategy;
const seen: string[] = [];

beforeAll(async () => {
  cluster = await TestCluster.start();
  const { brokers } = cluster;
  kafka = createKafka({ brokers, clientId: 'spec', log });
  publisher = new Publisher({ kafka, name: 'spec', log, metrics: new Metrics() });
  admin = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  await admin.createTopics({
    waitForLeaders: true,
    topics: [{ topic: topic.name, numPartitions: partitions, replicationFactor: 3 }],
  });
  const handle = (records: readonly RawRecord[]) => {
    seen.push(...records.map(({ value }) => String(value)));
    return Promise.resolve({});
  };
  member = await startRawMember({ kafka, publisher, topic, groupId: topic.name, handle });
});

afterAll(async () => {
  await member?.close();
  await admin?.disconnect();
  await publisher?.disconnect();
  await cluster?.stop();
});

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await delay(50);
}

/** Leaders by partition, and how many replicas of it are in step. */
async function led(): Promise<{ leader: number; inStep: number }[]> {
  const known = await admin.fetchTopicMetadata({ topics: [topic.name] });
  const found = known.topics[0]?.partitions ?? [];
  return found.map(({ isr, leader }) => ({ leader, inStep: isr.length }));
}

it('loses nothing when the leaders of partitions die, and keeps each key in order', async () => {
  const acknowledged: string[] = [];
  let isOver = false;
  const flows = keys.map(async (key) => {
    for (let n = 0; !isOver; n += 1) {
      await publishUntilTaken(publisher, { topic, key, text: `${key}-${n}` });
      acknowledged.push(`${key}-${n}`);
      // A flow that is not the broker's whole day.
      await delay(5);
    }
  });
  const isFurther = (than: number) => until(() => acknowledged.length > than + 200);
  for (const node of [2, 3]) {
    await isFurther(acknowledged.length);
    expect((await led()).some(({ leader }) => leader === node)).toBe(true);
    await cluster.kill(node);
    await until(async () => (await led()).every(({ leader }) => leader > 0 && leader !== node));
    await isFurther(acknowledged.length);
    await cluster.restart(node);
    await until(async () => (await led()).every(({ inStep }) => inStep === 3));
  }
  isOver = true;
  await Promise.all(flows);

  await until(() => new Set(seen).size >= acknowledged.length);
  expect(new Set(seen)).toEqual(new Set(acknowledged));
  for (const key of keys) {
    const firsts = [...new Set(seen.filter((text) => text.startsWith(`${key}-`)))];
    expect(firsts).toEqual(firsts.map((_, n) => `${key}-${n}`));
  }
  await until(async () => {
    const ends = await admin.fetchTopicOffsets(topic.name);
    const [read] = await admin.fetchOffsets({ groupId: topic.name, topics: [topic.name] });
    const done = new Map(read?.partitions.map(({ offset, partition }) => [partition, offset]));
    // Of a partition without records nothing is committed.
    return ends.every(({ high, partition }) => high === '0' || high === done.get(partition));
  });
});

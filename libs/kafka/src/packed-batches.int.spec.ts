import { execFile, spawnSync } from 'node:child_process';
import { promisify } from 'node:util';
import { gzip, zstdCompress } from 'node:zlib';

import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { Topic } from '@millrace/contracts';
import { deadLetterTopicOf, topics } from '@millrace/contracts';
import { Metrics, SilentLogger } from '@millrace/runtime';
import { createTestTopics, KafkaReader } from '@millrace/testing';
import type { TestTopics } from '@millrace/testing';
import type { Admin, Message } from 'kafkajs';
import {
  CompressionCodecs,
  CompressionTypes,
  ConfigResourceTypes,
  Kafka,
  logLevel,
} from 'kafkajs';

import { createKafka } from './adapters/kafkajs-client.ts';
import type { KafkaClient } from './client.ts';
import { Publisher } from './publisher.ts';
import { startRawMember } from './raw-member.fixture.ts';
import type { RawRecord } from './records.ts';
import type { StepsStrategy } from './steps-strategy.ts';

jest.setTimeout(30_000);

/** Another people's client, written in C, which packs in all four ways. */
const kcatIsThere = spawnSync('kcat', ['-V']).status === 0;

const log = new SilentLogger();
const topic: Topic = topics.jobsSubmitted;

let isolated: TestTopics;
let kafka: KafkaClient;
let publisher: Publisher;
let admin: Admin;
let member: StepsStrategy;
let letters: KafkaReader;
let seen: string[] = [];

beforeAll(async () => {
  CompressionCodecs[CompressionTypes.GZIP] = packer(promisify(gzip));
  CompressionCodecs[CompressionTypes.ZSTD] = packer(promisify(zstdCompress));
  isolated = await createTestTopics([topic]);
  kafka = createKafka({ ...isolated, clientId: 'spec', log });
  publisher = new Publisher({ kafka, name: 'spec', log, metrics: new Metrics() });
  admin = new Kafka({ brokers: [...isolated.brokers], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  letters = await new KafkaReader(isolated.prefix + deadLetterTopicOf(topic.name)).start();
  const handle = (records: readonly RawRecord[]) => {
    seen.push(...records.map(({ value }) => String(value)));
    return Promise.resolve({});
  };
  member = await startRawMember({ kafka, publisher, topic, groupId: 'packed', handle });
});

afterEach(() => {
  seen = [];
});

afterAll(async () => {
  await member.close();
  await letters.stop();
  await admin.disconnect();
  await publisher.disconnect();
  await isolated.drop();
});

type Pack = (bytes: Buffer) => Promise<Buffer>;

function packer(pack: Pack) {
  const compress = ({ buffer }: { buffer: Buffer }) => pack(buffer);
  const decompress = () => Promise.reject(new Error('a batch is unpacked before kafkajs sees it'));
  return () => ({ compress, decompress });
}

async function send(messages: Message[], compression: CompressionTypes): Promise<void> {
  const other = new Kafka({ brokers: [...isolated.brokers], logLevel: logLevel.NOTHING });
  const producer = other.producer();
  await producer.connect();
  const placed = messages.map((message) => ({ ...message, partition: 0 }));
  await producer.send({ topic: isolated.prefix + topic.name, messages: placed, compression });
  await producer.disconnect();
}

/** Lets the broker pack whatever comes; `producer`: it stays as it came. */
async function packAtBroker(packing: string): Promise<void> {
  const name = isolated.prefix + topic.name;
  const type = ConfigResourceTypes.TOPIC;
  const configEntries = [{ name: 'compression.type', value: packing }];
  await admin.alterConfigs({ validateOnly: false, resources: [{ type, name, configEntries }] });
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** Whether the group has committed all that there is. */
async function isAllCommitted(): Promise<boolean> {
  const name = isolated.prefix + topic.name;
  const ends = await admin.fetchTopicOffsets(name);
  const [read] = await admin.fetchOffsets({ groupId: `${isolated.prefix}packed`, topics: [name] });
  return ends.every(({ partition, high }) => {
    const done = read?.partitions.find((one) => one.partition === partition)?.offset;
    return Number(high) === Math.max(0, Number(done ?? 0));
  });
}

const texts = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, n) => `${prefix}${n}`);

describe('a batch that was packed', () => {
  it.each([
    ['gzip', CompressionTypes.GZIP],
    ['zstd', CompressionTypes.ZSTD],
  ])('with %s is taken, and so is what comes after it', async (name, compression) => {
    const all = texts(`${name}-`, 1_000);
    await send(all.map((value) => ({ key: 'one', value })), compression);
    await send([{ key: 'one', value: 'next' }], CompressionTypes.None);
    await until(() => seen.includes('next'));
    expect(seen).toEqual([...all, 'next']);
    await until(isAllCommitted);
  });

  (kcatIsThere ? it.each : it.skip.each)(['gzip', 'snappy', 'lz4', 'zstd'])(
    'by kcat with %s is taken, and so is what comes after it',
    async (packing) => {
      const body = 'all work and no play makes jack a dull boy '.repeat(20);
      const all = texts(`${packing} ${body}`, 500);
      const where = ['-b', isolated.brokers.join(), '-t', isolated.prefix + topic.name, '-p', '0'];
      const sent = promisify(execFile)('kcat', ['-P', ...where, '-z', packing]);
      sent.child.stdin?.end(all.join('\n'));
      await sent;
      await send([{ key: 'one', value: 'next' }], CompressionTypes.None);
      await until(() => seen.includes('next'));
      expect(seen).toEqual([...all, 'next']);
      await until(isAllCommitted);
    },
  );

  // In Java's frames: snappy's are those of snappy-java, which kcat does not write.
  it.each(['gzip', 'snappy', 'lz4', 'zstd'])(
    'by the broker with %s is taken, and so is what comes after it',
    async (packing) => {
      await packAtBroker(packing);
      const body = 'all work and no play makes jack a dull boy '.repeat(20);
      const all = texts(`${packing} ${body}`, 500);
      await send(all.map((value) => ({ key: 'one', value })), CompressionTypes.None);
      await packAtBroker('producer');
      await send([{ key: 'one', value: 'next' }], CompressionTypes.None);
      await until(() => seen.includes('next'));
      expect(seen).toEqual([...all, 'next']);
      await until(isAllCommitted);
    },
  );

  it.each([
    ['gzip', CompressionTypes.GZIP],
    ['zstd', CompressionTypes.ZSTD],
  ])('and unpacks to too much (%s) is one dead letter, and delays nobody', async (_, packing) => {
    const before = letters.messages.length;
    const bomb = Buffer.alloc(64 * 1024 * 1024);
    await send([{ key: 'bomb', value: bomb }], packing);
    await send([{ key: 'one', value: 'next' }], CompressionTypes.None);
    await until(() => seen.includes('next'));
    expect(seen).toEqual(['next']);
    const letter = (await letters.waitFor(before + 1)).at(-1);
    expect(String(letter?.headers?.['dlq-reason'])).toBe('payload_too_large');
    expect(letter?.value?.length).toBeGreaterThan(100);
    expect(letter?.headers).not.toHaveProperty('millrace-unreadable');
    await until(isAllCommitted);
  });
});

describe('a batch that was not packed', () => {
  it('holds a record of very many headers: it alone is a dead letter, and at once', async () => {
    const before = letters.messages.length;
    const headers = Object.fromEntries(texts('h', 60_000).map((name) => [name, '']));
    await send(
      [{ value: 'first' }, { key: 'many', value: 'kept', headers }, { value: 'next' }],
      CompressionTypes.None,
    );
    const sentAt = performance.now();
    await until(() => seen.includes('next'));
    expect(performance.now() - sentAt).toBeLessThan(15_000);
    expect(seen).toEqual(['first', 'next']);
    const letter = (await letters.waitFor(before + 1)).at(-1);
    expect([String(letter?.key), String(letter?.value)]).toEqual(['many', 'kept']);
    await until(isAllCommitted);
  });

  it.each(['constructor', '__proto__', 'toString', 'millrace-unreadable'])(
    'has a header named %s: it is taken',
    async (name) => {
      await send([{ value: 'odd', headers: { [name]: 'forged' } }], CompressionTypes.None);
      await until(() => seen.includes('odd'));
      await until(isAllCommitted);
    },
  );
});

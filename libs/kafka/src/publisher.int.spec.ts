import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { Topic } from '@millrace/contracts';
import { topics } from '@millrace/contracts';
import { Metrics, SilentLogger } from '@millrace/runtime';
import { KafkaReader, createTestTopics } from '@millrace/testing';
import type { TestTopics } from '@millrace/testing';

import { createKafka } from './adapters/kafkajs-client.ts';
import { PublishError, Publisher } from './publisher.ts';

jest.setTimeout(30_000);

const topic: Topic = topics.jobsProgressed;
const log = new SilentLogger();
let isolated: TestTopics;
let publisher: Publisher;

beforeAll(async () => {
  isolated = await createTestTopics([topic, topics.claudeDeltas]);
  const kafka = createKafka({ ...isolated, clientId: 'spec', log });
  publisher = new Publisher({ kafka, name: 'spec', log, metrics: new Metrics() });
});

afterAll(async () => {
  await publisher.disconnect();
  await isolated.drop();
});

function message(name: string, key: string, bytes: string | number) {
  const value = typeof bytes === 'number' ? Buffer.alloc(bytes, 0x61) : Buffer.from(bytes);
  return { topic: name, key, headers: { n: 'x' }, value };
}

describe('a publisher over Kafka', () => {
  it('loses none of 5,000 concurrent messages and keeps the order of each key', async () => {
    const reader = await new KafkaReader(isolated.prefix + topic.name).start();
    const publishing = Array.from({ length: 5_000 }, (_, n) =>
      publisher.publish([message(topic.name, `key-${n % 17}`, String(n))]),
    );
    await Promise.all(publishing);
    const read = await reader.waitFor(5_000);
    const byKey = new Map<string, number[]>();
    for (const { key, value } of read) {
      const values = byKey.get(String(key)) ?? [];
      byKey.set(String(key), [...values, Number(String(value))]);
    }
    expect(new Set(read.map(({ value }) => String(value))).size).toBe(5_000);
    for (const values of byKey.values()) {
      expect(values).toEqual([...values].sort((one, other) => one - other));
    }
    await reader.stop();
  });

  it('fails a message that is too large alone', async () => {
    const { name } = topics.claudeDeltas;
    const large = message(name, 'a', 3 * 1024 * 1024);
    const outcome = publisher.publish([message(name, 'a', '1'), large, message(name, 'a', '2')]);
    const error: unknown = await outcome.catch((reason: unknown) => reason);
    if (!(error instanceof PublishError)) throw error;
    expect(error.reason).toBe('rejected');
    // By identity: comparing megabytes byte by byte takes the matcher seconds.
    expect(error.failed.length === 1 && error.failed[0] === large).toBe(true);
    const reader = await new KafkaReader(isolated.prefix + name).start();
    const read = await reader.waitFor(2);
    expect(read.map(({ value }) => String(value))).toEqual(['1', '2']);
    await reader.stop();
  });
});

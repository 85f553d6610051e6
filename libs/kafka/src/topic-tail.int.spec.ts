import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';
import type { ClaudeDelta } from '@millrace/contracts';
import { IdentityPayloadCodec, topics } from '@millrace/contracts';
import { Metrics, SilentLogger } from '@millrace/runtime';
import { createTestTopics } from '@millrace/testing';
import type { TestTopics } from '@millrace/testing';
import { ROOT_CONTEXT } from '@opentelemetry/api';

import { createKafka } from './adapters/kafkajs-client.ts';
import { eventMessage } from './event-message.ts';
import { Publisher } from './publisher.ts';
import { TopicTail } from './topic-tail.ts';

jest.setTimeout(30_000);

const topic = topics.claudeDeltas;
const log = new SilentLogger();
const codec = new IdentityPayloadCodec();
let isolated: TestTopics;

beforeAll(async () => {
  isolated = await createTestTopics([topic]);
});

afterAll(async () => {
  await isolated.drop();
});

function delta(text: string, start: number) {
  return eventMessage({
    topic,
    type: 'millrace.claude.delta.v1',
    id: `j:${start}:${text}`,
    source: 'claude-worker',
    key: 'default/j',
    time: new Date(),
    tenant: 'default',
    data: { tenant: 'default', job_id: 'j', turn: 1, attempt: 1, start, text },
    codec,
    context: ROOT_CONTEXT,
  });
}

it('follows a topic from a time on, skips what it cannot read, and stops', async () => {
  const kafka = createKafka({ ...isolated, clientId: 'spec', log });
  const publisher = new Publisher({ kafka, name: 'spec', log, metrics: new Metrics() });
  await publisher.publish([delta('before', 0)]);
  await new Promise((resolve) => setTimeout(resolve, 20));

  const seen: string[] = [];
  const seenAll = new Promise<void>((resolve) => {
    const tail = new TopicTail<ClaudeDelta>({
      kafka,
      topic,
      fromMs: Date.now(),
      codec,
      log,
      onRecords: (records) => {
        seen.push(...records.map(({ data }) => data.text));
        if (seen.length === 3) void tail.stop().then(resolve);
      },
    });
    void tail.start().then(() =>
      publisher.publish([
        delta('a', 0),
        { topic: topic.name, key: 'default/j', headers: {}, value: Buffer.from('?') },
        delta('b', 1),
        delta('c', 2),
      ]),
    );
  });
  await seenAll;
  expect(seen).toEqual(['a', 'b', 'c']);
  await publisher.disconnect();
});

it('says when it has had all that was there, and when that takes too long', async () => {
  const kafka = createKafka({ ...isolated, clientId: 'spec', log });
  const publisher = new Publisher({ kafka, name: 'spec', log, metrics: new Metrics() });
  const seen: string[] = [];
  const tail = new TopicTail<ClaudeDelta>({
    kafka,
    topic,
    fromMs: Date.now(),
    codec,
    log,
    onRecords: (records) => seen.push(...records.map(({ data }) => data.text)),
  });
  await publisher.publish([delta('first', 0)]);
  // It has not begun to read: what is there, it has not had.
  expect(await tail.caughtUp(200)).toBe(false);
  await tail.start();
  for (let n = 0; n < 20; n += 1) {
    await publisher.publish([delta(`${n}`, n)]);
    const both = await Promise.all([tail.caughtUp(20_000), tail.caughtUp(20_000)]);
    expect([both, seen.at(-1)]).toEqual([[true, true], `${n}`]);
  }
  await tail.stop();
  await publisher.disconnect();
});

import { describe, expect, it } from '@jest/globals';
import type { Kafka, ProducerBatch, ProducerConfig, RecordMetadata } from 'kafkajs';
import { KafkaJSNumberOfRetriesExceeded } from 'kafkajs';

import { SendError } from '../client.ts';
import { KafkajsProducer } from './kafkajs-producer.ts';

const partitions = [0, 1, 2].map((partitionId) => ({ partitionId, leader: 1 }));
const messages = ['a', 'b', 'c', 'd', 'e', 'f'].map((key) => ({
  topic: 't',
  key,
  value: Buffer.from(key),
  headers: {},
}));

/** What stands for kafkajs: it asks the partitioner, and answers as it is told, then for all. */
function producerThat(answers: ((all: RecordMetadata[]) => RecordMetadata[])[]) {
  let sent = 0;
  const sendBatch = (partitionOf: ReturnType<NonNullable<ProducerConfig['createPartitioner']>>) =>
    ({ topicMessages = [] }: ProducerBatch): Promise<RecordMetadata[]> => {
      const answer = answers[sent] ?? ((all) => all);
      sent += 1;
      const all = topicMessages.flatMap(({ messages: list, topic }) =>
        list.map((message) => {
          const partition = partitionOf({ topic, message, partitionMetadata: partitions as never });
          return { topicName: topic, partition, errorCode: 0 };
        }),
      );
      return new Promise((resolve) => resolve(answer(all)));
    };
  const producer: Kafka['producer'] = ({ createPartitioner } = {}) =>
    ({
      connect: () => Promise.resolve(),
      disconnect: () => Promise.resolve(),
      sendBatch: sendBatch(createPartitioner?.() ?? (() => 0)),
    }) as never;
  return { port: new KafkajsProducer({ producer }, 'p.'), sent: () => sent };
}

describe('a batch', () => {
  it('is sent once when every partition is answered for', async () => {
    const { port, sent } = producerThat([]);
    await port.send(messages);
    expect(sent()).toBe(1);
  });

  it('is sent again as a whole when a partition is not', async () => {
    const { port, sent } = producerThat([(all) => all.filter(({ partition }) => partition !== 1)]);
    await port.send(messages);
    expect(sent()).toBe(2);
  });

  it('is not sent, and its maker is told, when a partition never is', async () => {
    const none = () => [];
    const { port, sent } = producerThat([none, none, none, none, none]);
    const failure = await port.send(messages).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(SendError);
    expect(failure).toMatchObject({ reason: 'unavailable' });
    expect(sent()).toBe(5);
  });

  it.each([
    ['that passes is sent again', 'unavailable', ['NOT_LEADER_FOR_PARTITION', true], 5],
    ['that stays is told at once', 'rejected', ['MESSAGE_TOO_LARGE', false], 1],
  ] as const)('with an error %s', async (_, reason, [type, passes], times) => {
    const cause = Object.assign(new Error(type), { type });
    const failed = (): never => {
      if (!passes) throw cause;
      throw new KafkaJSNumberOfRetriesExceeded(cause, { retryCount: 0, retryTime: 1 });
    };
    const { port, sent } = producerThat([failed, failed, failed, failed, failed]);
    await expect(port.send(messages)).rejects.toMatchObject({ name: 'SendError', reason });
    expect(sent()).toBe(times);
  });
});

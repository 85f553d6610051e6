import type { Kafka, Message, Producer, TopicMessages } from 'kafkajs';
import { Partitioners } from 'kafkajs';

import { SendError } from '../client.ts';
import type { HeaderValue, ProducerPort, WireMessage } from '../client.ts';
import { protocolErrorOf } from './protocol-error.ts';

/** Of all replicas: what is acknowledged survives the loss of one. */
const acksAll = -1;
const ackMsMax = 10_000;
/** After about a second of these the makers are told, who retry from what they committed. */
const retries = { retries: 4, initialRetryTime: 100, maxRetryTime: 500 };

/** What the broker will answer to the same message for ever. */
const rejections = new Set([
  'MESSAGE_TOO_LARGE',
  'RECORD_LIST_TOO_LARGE',
  'INVALID_RECORD',
  'INVALID_TOPIC_EXCEPTION',
  'UNKNOWN_TOPIC_OR_PARTITION',
  'TOPIC_AUTHORIZATION_FAILED',
]);

/**
 * Not idempotent in Kafka's sense: kafkajs counts its sequence numbers back for a whole request of
 * which a part was appended, and the broker would then drop new messages as duplicates. A repeat
 * after a lost acknowledgement stays a repeat, which every consumer knows by its `ce_id`.
 */
export class KafkajsProducer implements ProducerPort {
  private readonly producer: Producer;
  private connecting: Promise<void> | undefined;

  constructor(
    kafka: Kafka,
    private readonly prefix: string,
  ) {
    this.producer = kafka.producer({
      allowAutoTopicCreation: false,
      createPartitioner: Partitioners.DefaultPartitioner,
      maxInFlightRequests: 1,
      retry: retries,
    });
  }

  async connect(): Promise<void> {
    this.connecting ??= this.producer.connect();
    try {
      await this.connecting;
    } catch (error) {
      this.connecting = undefined;
      throw new SendError('unavailable', { cause: error });
    }
  }

  async send(messages: readonly WireMessage[]): Promise<void> {
    await this.connect();
    try {
      await this.producer.sendBatch({
        acks: acksAll,
        timeout: ackMsMax,
        topicMessages: this.byTopic(messages),
      });
    } catch (error) {
      const type = protocolErrorOf(error);
      const rejected = type !== undefined && rejections.has(type);
      throw new SendError(rejected ? 'rejected' : 'unavailable', { cause: error });
    }
  }

  async disconnect(): Promise<void> {
    await this.producer.disconnect();
  }

  private byTopic(messages: readonly WireMessage[]): TopicMessages[] {
    const topics = new Map<string, Message[]>();
    for (const { topic, key, value, headers } of messages) {
      const message = { key, value, headers: copyHeaders(headers) };
      const sameTopic = topics.get(topic);
      if (sameTopic === undefined) topics.set(topic, [message]);
      else sameTopic.push(message);
    }
    return [...topics].map(([topic, list]) => ({ topic: this.prefix + topic, messages: list }));
  }
}

function copyHeaders(
  headers: Readonly<Record<string, HeaderValue>>,
): Record<string, Buffer | string | (Buffer | string)[]> {
  const copy: Record<string, Buffer | string | (Buffer | string)[]> = {};
  for (const [name, value] of Object.entries(headers)) {
    copy[name] = typeof value === 'string' || Buffer.isBuffer(value) ? value : [...value];
  }
  return copy;
}

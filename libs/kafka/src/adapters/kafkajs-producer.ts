import { setTimeout as delay } from 'node:timers/promises';

import type { ICustomPartitioner, Kafka, Message, Producer, TopicMessages } from 'kafkajs';
import kafkajs, { Partitioners } from 'kafkajs';

import { SendError } from '../client.ts';
import type { HeaderValue, ProducerPort, WireMessage } from '../client.ts';
import { murmur2 } from '../core/murmur2.ts';
import { protocolErrorOf } from './protocol-error.ts';

/** Errors are exported by a spread, in which Node finds no names. */
const { KafkaJSNumberOfRetriesExceeded } = kafkajs;

/** Of all replicas: what is acknowledged survives the loss of one. */
const acksAll = -1;
const ackMsMax = 10_000;
/** Waits before a batch is sent again. Then the makers are told, who repeat what they committed. */
const pausesMs = [100, 200, 400, 500];

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
 *
 * Nor does it let kafkajs repeat anything: that leaves out every broker which has answered already.
 * When one dies and another takes over its partitions, messages to them would be sent to nobody
 * and count as acknowledged. All of a batch is sent again, and each partition must be answered for.
 */
export class KafkajsProducer implements ProducerPort {
  private readonly producer: Pick<Producer, 'connect' | 'disconnect' | 'sendBatch'>;
  private connecting: Promise<void> | undefined;
  /** Partitions that messages of the send under way go to. */
  private readonly asked = new Set<string>();

  constructor(
    kafka: Pick<Kafka, 'producer'>,
    private readonly prefix: string,
  ) {
    this.producer = kafka.producer({
      allowAutoTopicCreation: false,
      createPartitioner: this.notingPartitioner,
      maxInFlightRequests: 1,
      retry: { retries: 0 },
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
    const topicMessages = this.byTopic(messages);
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await this.sendOnce(topicMessages);
      } catch (error) {
        const pauseMs = pausesMs[attempt];
        if (pauseMs === undefined || !isPassing(error)) throw sendErrorOf(error);
        await delay(pauseMs);
      }
    }
  }

  async disconnect(): Promise<void> {
    await this.producer.disconnect();
  }

  private async sendOnce(topicMessages: TopicMessages[]): Promise<void> {
    this.asked.clear();
    const answers = await this.producer.sendBatch({
      acks: acksAll,
      timeout: ackMsMax,
      topicMessages,
    });
    for (const { partition, topicName } of answers) this.asked.delete(`${topicName}/${partition}`);
    if (this.asked.size > 0) throw new UnansweredError(`no answer for ${[...this.asked].join()}`);
  }

  /** kafkajs asks it for each message of an attempt, and says to nobody what it was answered. */
  private readonly notingPartitioner: ICustomPartitioner = () => {
    const inTurn = Partitioners.DefaultPartitioner();
    return (given) => {
      // kafkajs hashes a key by objects of 64 bits, which takes four times as long.
      const key = given.message.key ?? null;
      const partition = key === null ? inTurn(given) : partitionOf(key, given.partitionMetadata);
      this.asked.add(`${given.topic}/${partition}`);
      return partition;
    };
  };

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

/** As every client of Kafka places a key. */
function partitionOf(key: Buffer | string, partitions: readonly unknown[]): number {
  const hash = murmur2(typeof key === 'string' ? Buffer.from(key) : key);
  return (hash & 0x7fff_ffff) % partitions.length;
}

/** A batch of which a part has no answer: it may be lost. */
class UnansweredError extends Error {
  override readonly name = 'UnansweredError';
}

/** Whether the same batch may be taken in a moment: kafkajs would repeat it, if it were let. */
function isPassing(error: unknown): boolean {
  return error instanceof KafkaJSNumberOfRetriesExceeded || error instanceof UnansweredError;
}

function sendErrorOf(error: unknown): SendError {
  const type = protocolErrorOf(error);
  const rejected = type !== undefined && rejections.has(type);
  return new SendError(rejected ? 'rejected' : 'unavailable', { cause: error });
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

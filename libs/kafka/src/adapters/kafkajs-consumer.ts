import type { Consumer, EachBatchPayload, IHeaders, Kafka, KafkaMessage } from 'kafkajs';

import type {
  ConsumerOptions,
  ConsumerPort,
  FetchedBatch,
  FetchedMessage,
  HeaderValue,
  PartitionOffset,
  TopicPartition,
  UnreadableReason,
} from '../client.ts';
import { fetchBytesMax, partitionBytesMax } from './fetch-room.ts';
import { unreadableHeader } from './kafkajs-readable-fetches.ts';

/** A dead member's partitions go to others after this; the broker's own minimum is 6 s. */
const sessionMs = 10_000;
const heartbeatMs = 2_000;
const rebalanceMsMax = 20_000;
/** A fetch ends as soon as there is one byte: this is only how long an idle one waits. */
const fetchWaitMsMax = 500;

/** Of one request inside kafkajs; what is not mended then is a crash, and a new member. */
const retry = { retries: 3, initialRetryTime: 200, maxRetryTime: 1_000 };

const unreadableReasons: readonly UnreadableReason[] = ['too_large', 'damaged', 'too_many_headers'];

/** One membership of a consumer group. It is not started again after it ended. */
export class KafkajsConsumer implements ConsumerPort {
  private readonly consumer: Consumer;

  constructor(
    kafka: Kafka,
    private readonly prefix: string,
    private readonly options: ConsumerOptions,
  ) {
    this.consumer = kafka.consumer({
      groupId: prefix + options.groupId,
      allowAutoTopicCreation: false,
      sessionTimeout: sessionMs,
      heartbeatInterval: heartbeatMs,
      rebalanceTimeout: rebalanceMsMax,
      minBytes: 1,
      maxWaitTimeInMs: fetchWaitMsMax,
      maxBytesPerPartition: partitionBytesMax,
      maxBytes: fetchBytesMax,
      // kafkajs gives up for good after some errors and restarts after others: all are ours.
      retry: { ...retry, restartOnFailure: () => Promise.resolve(false) },
    });
    this.listen();
  }

  async start(): Promise<void> {
    await this.consumer.connect();
    await this.consumer.subscribe({
      topics: this.options.topics.map((topic) => this.prefix + topic),
      // `false` would skip to the end after an offset that is out of range: lost records.
      fromBeginning: true,
    });
    await this.consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: this.options.partitionsConcurrently,
      eachBatch: (payload) => this.options.onBatch(this.batchOf(payload)),
    });
  }

  async stop(): Promise<void> {
    await this.consumer.disconnect();
  }

  pause({ topic, partition }: TopicPartition): void {
    this.consumer.pause([{ topic: this.prefix + topic, partitions: [partition] }]);
  }

  resume({ topic, partition }: TopicPartition): void {
    this.consumer.resume([{ topic: this.prefix + topic, partitions: [partition] }]);
  }

  seek({ topic, partition, offset }: PartitionOffset): void {
    this.consumer.seek({ topic: this.prefix + topic, partition, offset });
  }

  async commit(offsets: readonly PartitionOffset[]): Promise<void> {
    await this.consumer.commitOffsets(
      offsets.map(({ topic, partition, offset }) => ({
        topic: this.prefix + topic,
        partition,
        offset,
      })),
    );
  }

  private listen(): void {
    const { events } = this.consumer;
    this.consumer.on(events.REBALANCING, () => this.options.onRevoking());
    this.consumer.on(events.GROUP_JOIN, ({ payload }) => {
      this.options.onAssigned(this.placesOf(payload.memberAssignment));
    });
    this.consumer.on(events.CRASH, ({ payload }) => this.options.onCrashed(payload.error));
  }

  private placesOf(assignment: Readonly<Record<string, readonly number[]>>): TopicPartition[] {
    return Object.entries(assignment).flatMap(([name, partitions]) =>
      partitions.map((partition) => ({ topic: name.slice(this.prefix.length), partition })),
    );
  }

  private batchOf(payload: EachBatchPayload): FetchedBatch {
    const { batch } = payload;
    return {
      topic: batch.topic.slice(this.prefix.length),
      partition: batch.partition,
      messages: batch.messages.map(messageOf),
      lastOffset: batch.lastOffset(),
      highWatermark: batch.highWatermark,
      isCurrent: () => payload.isRunning() && !payload.isStale(),
      resolve: (offset) => payload.resolveOffset(offset),
    };
  }
}

function messageOf(message: KafkaMessage): FetchedMessage {
  const headers = headersOf(message.headers);
  const told = String(headers[unreadableHeader]);
  const unreadable = unreadableReasons.find((reason) => told === reason);
  delete headers[unreadableHeader];
  return {
    offset: message.offset,
    key: message.key,
    value: message.value,
    timestampMs: Number(message.timestamp),
    headers,
    ...(unreadable === undefined ? {} : { unreadable }),
  };
}

/** Of a header called `constructor` kafkajs makes two: what every object has of that name, too. */
function headersOf(headers: IHeaders | undefined): Record<string, HeaderValue> {
  const result: Record<string, HeaderValue> = {};
  for (const name in headers) {
    const value = headers[name];
    // It would become the object's prototype.
    if (name === '__proto__') continue;
    if (Buffer.isBuffer(value)) result[name] = value;
    else if (Array.isArray(value)) result[name] = value.filter((one) => Buffer.isBuffer(one));
  }
  return result;
}

import type { Logger } from '@millrace/runtime';
import { Kafka, logLevel } from 'kafkajs';

import type {
  ConsumerOptions,
  ConsumerPort,
  KafkaCapabilities,
  PartitionOffset,
  ProducerPort,
  TopicRangesPort,
} from '../client.ts';
import { KafkaClient } from '../client.ts';
import { KafkajsConsumer } from './kafkajs-consumer.ts';
import { letIdleConnectionsSleep } from './kafkajs-idle-connections.ts';
import { kafkajsLogger } from './kafkajs-logger.ts';
import { KafkajsProducer } from './kafkajs-producer.ts';
import { writeProduceRequestsQuickly } from './kafkajs-quick-produce.ts';
import { readFetchesWhateverIsPacked } from './kafkajs-readable-fetches.ts';
import { sendHeartbeatsAfterTheClockWasSetBack } from './kafkajs-set-clocks.ts';
import { KafkajsTopicRanges } from './kafkajs-topic-ranges.ts';

export interface KafkaOptions {
  readonly brokers: readonly string[];
  readonly clientId: string;
  readonly log: Logger;
  /**
   * Stands before every topic and group on the broker, and is seen by nobody in here: specs that
   * share a broker do not meet.
   */
  readonly prefix?: string;
  /** Before every group alone: one of its own gets all that there is, from the beginning. */
  readonly groupPrefix?: string;
}

const connectMsMax = 3_000;
const requestMsMax = 15_000;
/** Short: after it our own restarts go on, whose waits are shorter than those of kafkajs. */
const retry = { retries: 3, initialRetryTime: 200, maxRetryTime: 1_000 };

letIdleConnectionsSleep();
readFetchesWhateverIsPacked();
writeProduceRequestsQuickly();
sendHeartbeatsAfterTheClockWasSetBack();

/** @returns a client over kafkajs. It connects when something is asked of it. */
export function createKafka(options: KafkaOptions): KafkaClient {
  return new KafkajsClient(options);
}

class KafkajsClient extends KafkaClient {
  readonly capabilities: KafkaCapabilities = { fencesCommits: false, keepsPositions: false };
  private readonly kafka: Kafka;
  private readonly prefix: string;
  private readonly groupPrefix: string;
  private knownClusterId: string | undefined;

  constructor(options: KafkaOptions) {
    super();
    this.prefix = options.prefix ?? '';
    this.groupPrefix = options.groupPrefix ?? '';
    this.kafka = new Kafka({
      brokers: [...options.brokers],
      clientId: options.clientId,
      connectionTimeout: connectMsMax,
      requestTimeout: requestMsMax,
      retry,
      // kafkajs tells of rejoins and pauses at this level, and of retries above it.
      logLevel: logLevel.INFO,
      logCreator: kafkajsLogger(options.log),
    });
  }

  producer(): ProducerPort {
    return new KafkajsProducer(this.kafka, this.prefix);
  }

  consumer(options: ConsumerOptions): ConsumerPort {
    const groupId = this.groupPrefix + options.groupId;
    return new KafkajsConsumer(this.kafka, this.prefix, { ...options, groupId });
  }

  async clusterId(): Promise<string> {
    this.knownClusterId ??= await this.withAdmin(
      async (admin) => (await admin.describeCluster()).clusterId,
    );
    return this.knownClusterId;
  }

  answers(): Promise<boolean> {
    return this.withAdmin((admin) => admin.describeCluster()).then(
      () => true,
      () => false,
    );
  }

  topicRanges(topic: string): TopicRangesPort {
    return new KafkajsTopicRanges(this.kafka, this.prefix + topic);
  }

  async offsetsAt(topic: string, timestampMs: number): Promise<readonly PartitionOffset[]> {
    const entries = await this.withAdmin((admin) =>
      admin.fetchTopicOffsetsByTimestamp(this.prefix + topic, timestampMs),
    );
    return entries.map(({ partition, offset }) => ({ topic, partition, offset }));
  }

  private async withAdmin<T>(ask: (admin: ReturnType<Kafka['admin']>) => Promise<T>): Promise<T> {
    const admin = this.kafka.admin();
    await admin.connect();
    try {
      return await ask(admin);
    } finally {
      await admin.disconnect();
    }
  }
}

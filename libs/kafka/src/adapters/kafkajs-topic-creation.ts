import { topicConfig } from '@millrace/contracts';
import type { Topic } from '@millrace/contracts';
import { Kafka } from 'kafkajs';
import type { ITopicConfig } from 'kafkajs';

import { TopicCreation } from '../topic-creation.ts';
import type { KafkaOptions } from './kafkajs-client.ts';
import { kafkajsLogger } from './kafkajs-logger.ts';

const connectMsMax = 3_000;
/** Leaders are there within a second; a broker that starts takes some more. */
const createMsMax = 15_000;

/** Connects for each call: tenants are made rarely. */
export class KafkajsTopicCreation extends TopicCreation {
  private readonly kafka: Kafka;
  private readonly prefix: string;

  constructor(options: KafkaOptions) {
    super();
    this.prefix = options.prefix ?? '';
    this.kafka = new Kafka({
      brokers: [...options.brokers],
      clientId: options.clientId,
      connectionTimeout: connectMsMax,
      requestTimeout: createMsMax,
      retry: { retries: 3, initialRetryTime: 200, maxRetryTime: 1_000 },
      logCreator: kafkajsLogger(options.log),
    });
  }

  async create(topics: readonly Topic[]): Promise<void> {
    const admin = this.kafka.admin();
    await admin.connect();
    try {
      const known = new Set(await admin.listTopics());
      const configs = topics.map((topic) => this.config(topic));
      const wanted = configs.filter(({ topic }) => !known.has(topic));
      if (wanted.length === 0) return;
      // Another replica may create the same ones meanwhile: that is no error.
      await admin.createTopics({ topics: wanted, waitForLeaders: true, timeout: createMsMax });
    } finally {
      await admin.disconnect();
    }
  }

  /** As many replicas as the broker's default says. */
  private config(topic: Topic): ITopicConfig {
    const entries = Object.entries(topicConfig(topic));
    return {
      topic: this.prefix + topic.name,
      numPartitions: topic.partitions,
      replicationFactor: -1,
      configEntries: entries.map(([name, value]) => ({ name, value })),
    };
  }
}

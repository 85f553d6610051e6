import type { Admin, Kafka } from 'kafkajs';

import type { PartitionRange, TopicRangesPort } from '../client.ts';

/** Over one admin connection, made when it is first needed and again after it failed. */
export class KafkajsTopicRanges implements TopicRangesPort {
  private admin: Promise<Admin> | undefined;

  constructor(
    private readonly kafka: Kafka,
    private readonly topic: string,
  ) {}

  async read(): Promise<readonly PartitionRange[]> {
    this.admin ??= this.connect();
    const opened = this.admin;
    try {
      const offsets = await (await opened).fetchTopicOffsets(this.topic);
      return offsets.map(({ partition, low, high }) => ({ partition, first: low, end: high }));
    } catch (error) {
      // Leaders may have moved: a new connection begins with what the cluster is now.
      if (this.admin === opened) await this.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    const opened = this.admin;
    this.admin = undefined;
    await opened?.then((admin) => admin.disconnect()).catch(() => {});
  }

  private async connect(): Promise<Admin> {
    const admin = this.kafka.admin();
    await admin.connect();
    return admin;
  }
}

/** Creates the topics of the topic table, and the dead letter topics beside them. */
import { createdTopicList, topicConfig } from '@millrace/contracts';
import { Kafka, logLevel } from 'kafkajs';

/** @param {string} broker @returns {Promise<number>} how many topics there are now */
export async function createTopics(broker) {
  const wanted = createdTopicList.map((topic) =>
    describe(topic.name, topic.partitions, topicConfig(topic)),
  );
  const kafka = new Kafka({ brokers: [broker], clientId: 'stack', logLevel: logLevel.NOTHING });
  const admin = kafka.admin();
  await admin.connect();
  try {
    const there = new Set(await admin.listTopics());
    const missing = wanted.filter(({ topic }) => !there.has(topic));
    if (missing.length > 0) await admin.createTopics({ topics: missing, waitForLeaders: true });
    return wanted.length;
  } finally {
    await admin.disconnect();
  }
}

/**
 * @param {string} topic
 * @param {number} numPartitions
 * @param {Readonly<Record<string, string>>} config
 */
const describe = (topic, numPartitions, config) => ({
  topic,
  numPartitions,
  replicationFactor: 1,
  configEntries: Object.entries(config).map(([name, value]) => ({ name, value })),
});

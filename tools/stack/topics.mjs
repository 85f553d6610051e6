/** Creates the topics of the topic table, and the dead letter topics beside them. */
import { deadLetterTopicList, topicList } from '@millrace/contracts';
import { Kafka, logLevel } from 'kafkajs';

/** A dead letter is the whole record, as large as the broker allows, and our headers. */
const deadLetterBytesMax = 1_310_720;

/** @param {string} broker @returns {Promise<number>} how many topics there are now */
export async function createTopics(broker) {
  const wanted = [
    ...topicList.map((topic) =>
      describe(topic.name, topic.partitions, {
        'cleanup.policy': topic.cleanup,
        'retention.ms': String(topic.retentionMs),
      }),
    ),
    ...deadLetterTopicList.map((topic) =>
      describe(topic.name, topic.partitions, {
        'retention.ms': String(topic.retentionMs),
        'max.message.bytes': String(deadLetterBytesMax),
      }),
    ),
  ];
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
 * @param {Record<string, string>} config
 */
const describe = (topic, numPartitions, config) => ({
  topic,
  numPartitions,
  replicationFactor: 1,
  configEntries: Object.entries(config).map(([name, value]) => ({ name, value })),
});

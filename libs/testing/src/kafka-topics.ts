import type { Topic } from '@millrace/contracts';
import { deadLettersOf, isPerTenant, topicConfig, topicList } from '@millrace/contracts';
import type { Admin, ITopicConfig } from 'kafkajs';
import { Kafka, logLevel } from 'kafkajs';
import { ulid } from 'ulid';

export interface TestTopics {
  /** Goes to `createKafka({ prefix })`: what the code under test calls `jobs.submitted.v1`. */
  readonly prefix: string;
  readonly brokers: readonly string[];
  drop(): Promise<void>;
}

/** The brokers of the scratch Kafka that the specs were started beside. */
export function testBrokers(): string[] {
  const brokers = process.env['MILLRACE_TEST_KAFKA'];
  if (brokers === undefined || brokers === '') {
    throw new Error('MILLRACE_TEST_KAFKA is not set: run `node tools/scratch.mjs -- COMMAND`');
  }
  return brokers.split(',');
}

/**
 * Creates the topics of the table (or those given) and their dead letter topics under a prefix of
 * their own, so that specs which share a broker do not meet.
 */
export async function createTestTopics(
  topics: readonly Topic[] = topicList.filter((topic) => !isPerTenant(topic)),
  brokers: readonly string[] = testBrokers(),
): Promise<TestTopics> {
  const prefix = `t${ulid().toLowerCase()}.`;
  const configs = topics.flatMap((topic) => topicConfigs(topic, prefix));
  await withAdmin(brokers, (admin) => createLedTopics(admin, configs));
  return {
    prefix,
    brokers,
    drop: async () => {
      const names = configs.map(({ topic }) => topic);
      await withAdmin(brokers, (admin) => admin.deleteTopics({ topics: names }));
    },
  };
}

/** A row like one of the table, under a name that no other spec uses, created on the broker. */
export async function testTopic(topic: Topic): Promise<Topic> {
  const unique = { ...topic, name: `t${ulid().toLowerCase()}.${topic.name}` };
  const configs = topicConfigs(unique, '');
  await withAdmin(testBrokers(), (admin) => createLedTopics(admin, configs));
  return unique;
}

/** kafkajs itself gives up when a busy broker does not know its new topics for a moment. */
async function createLedTopics(admin: Admin, configs: readonly ITopicConfig[]): Promise<void> {
  await admin.createTopics({ topics: [...configs], waitForLeaders: false });
  const topics = configs.map(({ topic }) => topic);
  for (let isLed = false; !isLed; ) {
    isLed = await admin.fetchTopicMetadata({ topics }).then(
      (known) => known.topics.every((topic) => topic.partitions.every(({ leader }) => leader >= 0)),
      () => false,
    );
    if (!isLed) await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function topicConfigs(topic: Topic, prefix: string): ITopicConfig[] {
  const own = configOf(topic, prefix);
  if (!topic.deadLetters) return [own];
  return [own, { ...configOf(deadLettersOf(topic), prefix), numPartitions: 1 }];
}

function configOf(topic: Topic, prefix: string): ITopicConfig {
  const settings = Object.entries(topicConfig(topic));
  return {
    topic: prefix + topic.name,
    numPartitions: topic.partitions,
    replicationFactor: 1,
    configEntries: settings.map(([name, value]) => ({ name, value })),
  };
}

async function withAdmin<T>(
  brokers: readonly string[],
  ask: (admin: Admin) => Promise<T>,
): Promise<T> {
  const kafka = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING });
  const admin = kafka.admin();
  await admin.connect();
  try {
    return await ask(admin);
  } finally {
    await admin.disconnect();
  }
}

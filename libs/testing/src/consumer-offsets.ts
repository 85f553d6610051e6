import { Kafka, logLevel } from 'kafkajs';

export interface GroupsOfProcesses {
  readonly brokers: readonly string[];
  /** What the topics' names begin with. */
  readonly topicPrefix: string;
  /** What the names of the groups begin with, of the process that is gone and of the next one. */
  readonly from: string;
  readonly to: string;
}

/**
 * Lets the next process go on where a dead one has committed, in groups of its own: in the same
 * groups it would have to wait until the dead member is missed.
 */
export async function takeOverOffsets(o: GroupsOfProcesses): Promise<void> {
  const kafka = new Kafka({ brokers: [...o.brokers], logLevel: logLevel.NOTHING });
  const admin = kafka.admin();
  await admin.connect();
  try {
    const { groups } = await admin.listGroups();
    const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(o.topicPrefix));
    for (const { groupId } of groups.filter((group) => group.groupId.startsWith(o.from))) {
      const fetched = await admin.fetchOffsets({ groupId, topics });
      const offsets = fetched.flatMap(({ partitions, topic }) =>
        partitions.map(({ offset, partition }) => ({ topic, partition, offset })),
      );
      const committed = offsets.filter(({ offset }) => Number(offset) >= 0);
      await commitOffsets(kafka, o.to + groupId.slice(o.from.length), committed);
    }
  } finally {
    await admin.disconnect();
  }
}

interface CommittedOffset {
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
}

/** As a member that leaves again: the offsets stay. */
async function commitOffsets(
  kafka: Kafka,
  groupId: string,
  offsets: readonly CommittedOffset[],
): Promise<void> {
  const [first] = offsets;
  if (first === undefined) return;
  const consumer = kafka.consumer({ groupId });
  await consumer.connect();
  await consumer.subscribe({ topic: first.topic });
  const joined = new Promise((resolve) => consumer.on(consumer.events.GROUP_JOIN, resolve));
  await consumer.run({ autoCommit: false, eachBatch: () => Promise.resolve() });
  await joined;
  await consumer.commitOffsets([...offsets]);
  await consumer.disconnect();
}

import type { UnreadableReason } from './core/unreadable-record.ts';
import type { HeaderValue, WireMessage } from './core/wire-message.ts';

export type { UnreadableReason } from './core/unreadable-record.ts';
export type { HeaderValue, WireMessage } from './core/wire-message.ts';

/**
 * The thin port to a Kafka client: what steps, the publisher and tails need, and no more. It keeps
 * a way out of kafkajs, which is unmaintained.
 */

export interface ProducerPort {
  connect(): Promise<void>;
  /**
   * Sends all, in order for each key, and waits for all replicas. One call at a time.
   *
   * @throws SendError
   */
  send(messages: readonly WireMessage[]): Promise<void>;
  disconnect(): Promise<void>;
}

/** The broker did not take a batch. */
export class SendError extends Error {
  override readonly name = 'SendError';

  constructor(
    /**
     * `rejected`: one of the messages can never be taken (too large, invalid, no such topic);
     * `unavailable`: the same batch may be taken later.
     */
    readonly reason: 'rejected' | 'unavailable',
    options: { cause: unknown },
  ) {
    const rejected = reason === 'rejected';
    super(rejected ? 'the broker refused a message' : 'Kafka is not available', options);
  }
}

export interface FetchedMessage {
  readonly offset: string;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly timestampMs: number;
  readonly headers: Readonly<Record<string, HeaderValue>>;
  /** It stands for a record, or a batch of them, that nobody can use. */
  readonly unreadable?: UnreadableReason;
}

/** Records of one partition. Offsets move only when they are resolved and committed. */
export interface FetchedBatch {
  readonly topic: string;
  readonly partition: number;
  readonly messages: readonly FetchedMessage[];
  /** Of the batch on the broker: control records after the last message count. */
  readonly lastOffset: string;
  readonly highWatermark: string;
  /** The member still runs, and nobody sought another place in this partition. */
  isCurrent(): boolean;
  /** The next fetch starts after this offset. */
  resolve(offset: string): void;
}

export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

export interface PartitionOffset extends TopicPartition {
  readonly offset: string;
}

export interface ConsumerOptions {
  readonly groupId: string;
  readonly topics: readonly string[];
  readonly partitionsConcurrently: number;
  /** Must not throw, and must return soon: a fetch waits for the handlers of all partitions. */
  readonly onBatch: (batch: FetchedBatch) => Promise<void>;
  /** Before partitions may go to another member: what is to be committed, is committed now. */
  readonly onRevoking: () => void;
  readonly onAssigned: (assignment: readonly TopicPartition[]) => void;
  /** The consumer ended by itself and will not come back. */
  readonly onCrashed: (error: unknown) => void;
}

export interface ConsumerPort {
  /** Resolves when the member has joined its group, and rejects when it could not. */
  start(): Promise<void>;
  stop(): Promise<void>;
  pause(place: TopicPartition): void;
  resume(place: TopicPartition): void;
  seek(place: PartitionOffset): void;
  /** Each offset is that of the next record to be read. */
  commit(offsets: readonly PartitionOffset[]): Promise<void>;
}

/** What a partition holds: the offset of its first record, and that after its last. */
export interface PartitionRange {
  readonly partition: number;
  readonly first: string;
  readonly end: string;
}

/** Asks for the ranges of one topic. Keeps its connection from one answer to the next. */
export interface TopicRangesPort {
  read(): Promise<readonly PartitionRange[]>;
  close(): Promise<void>;
}

/** What a client can do, for the code that has to make up for it. */
export interface KafkaCapabilities {
  /** The client refuses a commit of a partition that it no longer owns. */
  readonly fencesCommits: boolean;
  /** Partitions that a member keeps go on where they are after a rebalance. */
  readonly keepsPositions: boolean;
}

/** One connection's settings. An abstract class, so that Nest can inject it. */
export abstract class KafkaClient {
  abstract readonly capabilities: KafkaCapabilities;
  abstract producer(): ProducerPort;
  abstract consumer(options: ConsumerOptions): ConsumerPort;
  /** Identity of the cluster: ids that derive from a record's place begin with it. */
  abstract clusterId(): Promise<string>;
  /** Whether a broker answers now. Never throws; an answer that does not come takes seconds. */
  abstract answers(): Promise<boolean>;
  abstract topicRanges(topic: string): TopicRangesPort;
  /** For each partition the first offset at or after a time; its end when nothing is that new. */
  abstract offsetsAt(topic: string, timestampMs: number): Promise<readonly PartitionOffset[]>;
}

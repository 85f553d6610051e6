import { setTimeout as delay } from 'node:timers/promises';

import type { PayloadCodec, Topic } from '@millrace/contracts';
import { cloudEventHeaders } from '@millrace/contracts';
import { extractTrace, names } from '@millrace/runtime';
import type { Logger } from '@millrace/runtime';
import { ulid } from 'ulid';

import { textHeaders } from './batch-reading.ts';
import type {
  FetchedBatch,
  FetchedMessage,
  KafkaClient,
  PartitionRange,
  TopicRangesPort,
} from './client.ts';
import { backoffMs } from './core/backoff.ts';
import { decodeEvent } from './core/decode.ts';
import { hasReached } from './core/tail-position.ts';
import { unreadableRecord } from './core/unreadable-record.ts';
import { FreshRead } from './fresh-read.ts';
import type { EventRecord } from './records.ts';
import { RestartingConsumer } from './restarting-consumer.ts';

/** What of a record is known before it is decoded. */
export interface TailedRecord {
  readonly key: string | null;
  readonly headers: Readonly<Record<string, string>>;
}

export interface TopicTailOptions<D> {
  readonly kafka: KafkaClient;
  readonly topic: Topic;
  /** Records from this time on. */
  readonly fromMs: number;
  /** Decoded records of one partition, in order. What it throws is logged, and nothing more. */
  readonly onRecords: (records: readonly EventRecord<D>[]) => void;
  /** Asked before a record is decoded, which costs more than all else: false passes over it. */
  readonly accepts?: (record: TailedRecord) => boolean;
  readonly codec: PayloadCodec;
  readonly log: Logger;
}

/** One who waits for the tail to have reached the ends that it was told. */
interface Waiting {
  readonly ranges: readonly PartitionRange[];
  readonly tell: () => void;
}

/**
 * Follows all partitions of a topic in this process, from a time on, and commits nothing: for what
 * is shown live to whoever is connected here. A group of its own, which ends with it.
 */
export class TopicTail<D> {
  private readonly consumer: RestartingConsumer;
  /** Of the next record in each partition: where a member that takes over goes on. */
  private readonly positions = new Map<number, string>();
  private readonly ranges: TopicRangesPort;
  private readonly freshRanges: FreshRead<readonly PartitionRange[]>;
  private readonly waiting = new Set<Waiting>();
  private readonly stopping = new AbortController();
  private tellJoined: () => void = () => {};
  private readonly joined = new Promise<void>((resolve) => {
    this.tellJoined = resolve;
  });

  constructor(private readonly options: TopicTailOptions<D>) {
    this.ranges = options.kafka.topicRanges(options.topic.name);
    this.freshRanges = new FreshRead(() => this.ranges.read());
    this.consumer = new RestartingConsumer({
      kafka: options.kafka,
      log: options.log,
      groupId: `tail.${options.topic.name}.${ulid()}`,
      topics: [options.topic.name],
      partitionsConcurrently: 3,
      onBatch: (batch) => this.onBatch(batch),
      onRevoking: () => {},
      onAssigned: () => this.onAssigned(),
    });
  }

  /** Resolves when it has its place: records from now on are seen. */
  async start(): Promise<void> {
    await this.findPositions();
    if (this.stopping.signal.aborted) return;
    this.consumer.start();
    await Promise.race([this.joined, aborted(this.stopping.signal)]);
  }

  /**
   * Waits until all that was in the topic when it was called has been handed on.
   *
   * @returns false when that was not so in time, or Kafka could not be asked.
   */
  async caughtUp(withinMs: number): Promise<boolean> {
    const late = delay(withinMs, undefined, { ref: false });
    const asked = this.freshRanges.read().catch(() => undefined);
    const ranges = await Promise.race([asked, late]);
    if (ranges === undefined) return false;
    if (hasReached(this.positions, ranges)) return true;
    const reached = Promise.withResolvers<true>();
    const waiting = { ranges, tell: () => reached.resolve(true) };
    this.waiting.add(waiting);
    const outcome = await Promise.race([reached.promise, late]);
    this.waiting.delete(waiting);
    return outcome === true;
  }

  /** Idempotent; also ends a start that is under way. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await Promise.all([this.consumer.stop(), this.ranges.close()]);
  }

  private async findPositions(): Promise<void> {
    const { kafka, topic, fromMs, log } = this.options;
    const { signal } = this.stopping;
    for (let attempt = 1; !signal.aborted; attempt += 1) {
      try {
        const offsets = await kafka.offsetsAt(topic.name, fromMs);
        for (const { partition, offset } of offsets) this.positions.set(partition, offset);
        return;
      } catch (error) {
        log.warn({ topic: topic.name, error }, 'a tail does not find its place yet');
        await delay(backoffMs(attempt, Math.random()), undefined, { signal }).catch(() => {});
      }
    }
  }

  private onAssigned(): void {
    // Before the first fetch of this assignment, or it would begin at the topic's start.
    for (const [partition, offset] of this.positions) {
      this.consumer.member?.seek({ topic: this.options.topic.name, partition, offset });
    }
    this.tellJoined();
  }

  private onBatch(batch: FetchedBatch): Promise<void> {
    const from = BigInt(this.positions.get(batch.partition) ?? '0');
    const fresh = batch.messages.filter(({ offset }) => BigInt(offset) >= from);
    const records = fresh.flatMap((message) => this.read(message, batch.partition));
    try {
      if (records.length > 0) this.options.onRecords(records);
    } catch (error) {
      this.options.log.error({ topic: batch.topic, error }, 'a listener of a tail threw');
    }
    const last = batch.messages.at(-1);
    if (last !== undefined) batch.resolve(last.offset);
    this.positions.set(batch.partition, String(BigInt(batch.lastOffset) + 1n));
    for (const { ranges, tell } of this.waiting) {
      if (hasReached(this.positions, ranges)) tell();
    }
    return Promise.resolve();
  }

  private read(message: FetchedMessage, partition: number): EventRecord<D>[] {
    const { topic, log } = this.options;
    const headers = textHeaders(message.headers);
    const key = message.key === null ? null : message.key.toString('utf8');
    if (this.options.accepts?.({ key, headers }) === false) return [];
    const decoded =
      message.unreadable === undefined
        ? decodeEvent(topic, { value: message.value, headers }, (body) =>
            this.decodeBody(body, headers),
          )
        : unreadableRecord(message.unreadable);
    if (decoded.kind === 'bad' || !this.isExpected(decoded.data)) {
      const code = decoded.kind === 'bad' ? decoded.code : 'invalid_request';
      const place = { topic: topic.name, partition, offset: message.offset, code };
      log.warn({ event: names.event.recordSkipped, ...place }, 'a tail skipped a record');
      return [];
    }
    return [
      {
        topic: topic.name,
        partition,
        offset: message.offset,
        key,
        timestampMs: message.timestampMs,
        id: decoded.id,
        type: decoded.type,
        headers,
        data: decoded.data,
        context: extractTrace(headers),
      },
    ];
  }

  private decodeBody(body: Buffer, headers: Readonly<Record<string, string>>): Buffer {
    if (this.options.topic.direction !== 'internal') return body;
    const tenant = headers[cloudEventHeaders.tenant] ?? '';
    return this.options.codec.decode(body, { tenant, medium: 'kafka' });
  }

  /** The topic's schema has checked it: `D` names what the schema's type already is. */
  private isExpected(data: unknown): data is D {
    return data !== undefined;
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

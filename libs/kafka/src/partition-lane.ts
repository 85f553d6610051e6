import { assertNever } from '@millrace/contracts';
import { names } from '@millrace/runtime';
import type { Gauge, Logger } from '@millrace/runtime';

import type { ConsumerPort, FetchedBatch, FetchedMessage, TopicPartition } from './client.ts';
import { slices } from './core/batching.ts';
import type { BadRecord } from './core/decode.ts';
import type { OffsetCommits } from './offset-commits.ts';
import type { StepRunner } from './step-runner.ts';

/** One statement of a step's commit: more rows make it slower, not cheaper by row. */
const sliceLimits = { countMax: 500, bytesMax: 4 * 1024 * 1024 };
/** A batch that takes longer no longer holds up the fetch, and with it all other partitions. */
const detachAfterMs = 500;

export interface PartitionLaneOptions {
  readonly place: TopicPartition;
  readonly runner: StepRunner;
  readonly commits: OffsetCommits;
  readonly member: () => ConsumerPort | undefined;
  /** Aborted when the service stops. */
  readonly closing: AbortSignal;
  readonly lag: Gauge;
  readonly parked: Gauge;
  readonly log: Logger;
}

/**
 * Works off one partition, one batch after the other.
 *
 * L1 Batches of a partition never overlap, even over a rebalance: the next waits for the last.
 * L2 An offset is resolved and committed only under the assignment under which it was fetched.
 * L3 A batch that waits (for Postgres, for Kafka) gives the fetch back with its partition paused,
 *    keeps its records, and resumes the partition when they are done.
 */
export class PartitionLane {
  private work: Promise<void> = Promise.resolve();
  private assignment = new AbortController();
  private isPaused = false;
  private isParked = false;

  constructor(private readonly options: PartitionLaneOptions) {}

  /** Takes a fetched batch. Resolves when the fetch may go on; never rejects. */
  async take(batch: FetchedBatch): Promise<void> {
    const assignment = this.assignment.signal;
    const work = this.work
      .then(() => this.runAll(batch, assignment))
      .catch((error: unknown) => {
        this.options.log.error({ ...this.options.place, error }, 'a partition lane failed');
      });
    this.work = work;
    // Most batches end long before it. An aborted delay would make an error for each, with a stack.
    const slow = Promise.withResolvers<'slow'>();
    const timer = setTimeout(slow.resolve, detachAfterMs, 'slow');
    const first = await Promise.race([work, slow.promise]);
    clearTimeout(timer);
    if (first === 'slow' && !assignment.aborted) this.detach(work, assignment);
  }

  /** Another assignment begins: what runs may finish, and moves no offset any more. */
  reassign(): void {
    this.assignment.abort();
    this.assignment = new AbortController();
    this.isParked = false;
    this.options.parked.set(labels(this.options.place), 0);
    // Another member tells the lag of what it gets; ours would stand still.
    this.options.lag.remove(labels(this.options.place));
    this.resume();
  }

  /** Resolves when nothing of this partition runs. */
  async idle(): Promise<void> {
    await this.work;
  }

  get parkedPlace(): TopicPartition | undefined {
    return this.isParked ? this.options.place : undefined;
  }

  private detach(work: Promise<void>, assignment: AbortSignal): void {
    this.pause();
    const line = { event: names.event.stepSlow, ...this.options.place };
    this.options.log.debug(line, 'a partition is paused until its batch is done');
    void work.then(() => {
      if (!assignment.aborted && !this.isParked) this.resume();
    });
  }

  private async runAll(batch: FetchedBatch, assignment: AbortSignal): Promise<void> {
    const signal = AbortSignal.any([assignment, this.options.closing]);
    for (const slice of slices(batch.messages, bytesOf, sliceLimits)) {
      if (signal.aborted || !batch.isCurrent()) return;
      const outcome = await this.options.runner.run(slice, batch.partition, signal);
      if (assignment.aborted) return;
      switch (outcome.kind) {
        case 'done':
          this.advance(batch, slice.at(-1));
          break;
        case 'interrupted':
          return;
        case 'parked':
          this.advance(batch, slice.findLast(({ offset }) => isBefore(offset, outcome.offset)));
          this.park(outcome.offset, outcome.bad);
          return;
        default:
          assertNever(outcome);
      }
    }
  }

  private advance(batch: FetchedBatch, last: FetchedMessage | undefined): void {
    if (last === undefined) return;
    batch.resolve(last.offset);
    const isLast = last.offset === batch.messages.at(-1)?.offset;
    const next = BigInt(isLast ? batch.lastOffset : last.offset) + 1n;
    this.options.commits.add({ ...this.options.place, offset: String(next) });
    const lag = BigInt(batch.highWatermark) - next;
    this.options.lag.set(labels(this.options.place), Math.max(0, Number(lag)));
  }

  private park(offset: string, bad: BadRecord): void {
    this.isParked = true;
    this.pause();
    this.options.parked.set(labels(this.options.place), 1);
    const facts = { ...this.options.place, offset, code: bad.code, detail: bad.detail };
    const line = { event: names.event.partitionParked, ...facts };
    this.options.log.error(line, 'a partition waits for a release that knows its next record');
  }

  private pause(): void {
    this.isPaused = true;
    this.options.member()?.pause(this.options.place);
  }

  private resume(): void {
    if (!this.isPaused) return;
    this.isPaused = false;
    this.options.member()?.resume(this.options.place);
  }
}

function labels(place: TopicPartition): { topic: string; partition: string } {
  return { topic: place.topic, partition: String(place.partition) };
}

function bytesOf(message: FetchedMessage): number {
  return (message.value?.length ?? 0) + (message.key?.length ?? 0);
}

function isBefore(offset: string, other: string): boolean {
  return BigInt(offset) < BigInt(other);
}

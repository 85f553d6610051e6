import { setTimeout as delay } from 'node:timers/promises';

import { names } from '@millrace/runtime';
import type { Logger } from '@millrace/runtime';

import type { ConsumerPort, PartitionOffset } from './client.ts';
import { backoffMs } from './core/backoff.ts';

/**
 * Time between two commits of one member, unless it stops. What is not yet committed comes again
 * after a crash, which every step is ready for. A commit costs the broker as much as a batch of
 * messages: at every 20 ms there were more commits than batches.
 */
const commitEveryMs = 100;
/** Waits grow to less than a second: a commit is small, and a stop waits for the last of them. */
const failuresCountedMax = 4;

/**
 * Commits offsets behind the steps, many partitions in one request, one request at a time.
 *
 * O1 An offset comes here only after its records' messages were acknowledged.
 * O2 An offset of an older assignment is never committed: the broker checks a member's generation
 *    and not what it owns, so it could set another member's partition back.
 * O3 Under one assignment a commit that failed is tried again: a partition that falls silent has
 *    no later commit to cover it, and all its last records would come again at the next start.
 */
export class OffsetCommits {
  private pending = new Map<string, PartitionOffset>();
  private committing: Promise<void> | undefined;
  private assignment = {};
  private failures = 0;
  private isFlushing = false;

  constructor(
    private readonly member: () => ConsumerPort | undefined,
    private readonly log: Logger,
  ) {}

  add(place: PartitionOffset): void {
    this.pending.set(`${place.topic}/${place.partition}`, place);
    this.committing ??= this.loop();
  }

  /** Partitions are about to move: what is done is committed by this call, or never. */
  revoke(): void {
    // The request must leave in this very call: afterwards the assignment is another.
    void this.commitPending();
  }

  /** A new assignment: what belongs to an older one is forgotten. */
  forget(): void {
    this.assignment = {};
    this.failures = 0;
    this.pending.clear();
  }

  /** The last commit of a member that stops: tried once, then left to redelivery. */
  async flush(): Promise<void> {
    this.isFlushing = true;
    await this.committing;
    await this.commitPending();
  }

  private async loop(): Promise<void> {
    while (this.pending.size > 0 && !this.isFlushing) {
      await this.commitPending();
      await delay(this.waitMs());
    }
    this.committing = undefined;
  }

  private waitMs(): number {
    if (this.failures === 0) return commitEveryMs;
    return backoffMs(Math.min(this.failures, failuresCountedMax), Math.random());
  }

  private async commitPending(): Promise<void> {
    const member = this.member();
    if (member === undefined || this.pending.size === 0) {
      this.pending.clear();
      return;
    }
    const { assignment } = this;
    const offsets = [...this.pending.values()];
    this.pending.clear();
    try {
      await member.commit(offsets);
      this.failures = 0;
    } catch (error) {
      if (assignment === this.assignment) this.putBack(offsets);
      const line = { event: names.event.offsetsNotCommitted, partitions: offsets.length, error };
      this.log.warn(line, 'offsets were not committed');
    }
  }

  /** O3. What was done meanwhile is further than what failed. */
  private putBack(offsets: readonly PartitionOffset[]): void {
    this.failures += 1;
    for (const place of offsets) {
      const key = `${place.topic}/${place.partition}`;
      if (!this.pending.has(key)) this.pending.set(key, place);
    }
  }
}

import { setTimeout as delay } from 'node:timers/promises';

import { names } from '@millrace/runtime';
import type { Logger } from '@millrace/runtime';

import type { ConsumerPort, PartitionOffset } from './client.ts';

/**
 * Time between two commits of one member, unless it stops. What is not yet committed comes again
 * after a crash, which every step is ready for; a commit per batch would cost the broker more.
 */
const commitEveryMs = 20;

/**
 * Commits offsets behind the steps, many partitions in one request, one request at a time.
 *
 * O1 An offset comes here only after its records' messages were acknowledged.
 * O2 An offset of an older assignment is never committed: the broker checks a member's generation
 *    and not what it owns, so it could set another member's partition back.
 */
export class OffsetCommits {
  private pending = new Map<string, PartitionOffset>();
  private committing: Promise<void> | undefined;

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
    this.pending.clear();
  }

  /** Resolves when nothing is pending. */
  async flush(): Promise<void> {
    await this.committing;
    await this.commitPending();
  }

  private async loop(): Promise<void> {
    while (this.pending.size > 0) {
      await this.commitPending();
      await delay(commitEveryMs);
    }
    this.committing = undefined;
  }

  private async commitPending(): Promise<void> {
    const member = this.member();
    if (member === undefined || this.pending.size === 0) {
      this.pending.clear();
      return;
    }
    const offsets = [...this.pending.values()];
    this.pending.clear();
    try {
      await member.commit(offsets);
    } catch (error) {
      // Nothing is lost: the next commit covers it, or the records come again.
      const line = { event: names.event.offsetsNotCommitted, partitions: offsets.length, error };
      this.log.warn(line, 'offsets were not committed');
    }
  }
}

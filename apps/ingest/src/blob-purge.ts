import { Logger } from '@millrace/runtime';
import { Injectable } from '@nestjs/common';

import { Documents, LargeBodies, ToldRuns } from './ports.ts';

/** Bodies are kept for weeks: an hour more is nothing, and an hour's worth is soon deleted. */
const everyMs = 3_600_000;

/**
 * Deletes expired documents and bodies, of all services, and what was told of jobs that ended a
 * day ago, at the start and then every hour. Which have expired is told by the database's clock;
 * replicas that do it at once pass over each other's rows.
 */
@Injectable()
export class BlobPurge {
  private timer: NodeJS.Timeout | undefined;
  private stopped = false;

  constructor(
    private readonly bodies: LargeBodies,
    private readonly documents: Documents,
    private readonly runs: ToldRuns,
    private readonly log: Logger,
  ) {}

  start(): void {
    void this.purge().then(() => {
      if (this.stopped) return;
      this.timer = setTimeout(() => this.start(), everyMs);
      this.timer.unref();
    });
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
  }

  /** Never throws: what is left is found the next time. */
  async purge(): Promise<void> {
    try {
      await this.documents.purge();
      await this.runs.purge();
      const deleted = await this.bodies.purge();
      if (deleted > 0) this.log.info({ deleted }, 'expired bodies were deleted');
    } catch (error) {
      // At a stop the pool ends under it.
      if (!this.stopped) this.log.warn({ error }, 'expired bodies stay for another hour');
    }
  }
}

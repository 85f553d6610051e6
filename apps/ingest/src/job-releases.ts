import { PayloadCodec, type OutgoingMessage } from '@millrace/contracts';
import { extractTrace, Logger } from '@millrace/runtime';
import { Injectable } from '@nestjs/common';

import { announcementOf } from './announcement.ts';
import { DueTimer } from './due-timer.ts';
import { EndTelemetry } from './end-telemetry.ts';
import { endedUnreleased } from './job-end.ts';
import {
  Announcements,
  Clock,
  Releases,
  type ReleaseTeller,
  type StandingJobRow,
} from './ports.ts';

/** Jobs of one commit: with bodies of 256 KiB it holds 25 MiB at worst. */
const releasedMax = 100;
/** A job that another replica took in may be due before anything that is known here. */
const lookEveryMsMax = 5_000;

/**
 * Releases jobs when their `run_at` has come, on every replica: each takes what the others do not
 * hold. Woken by the next time that is due, not by a fixed poll alone.
 */
@Injectable()
export class JobReleases implements ReleaseTeller {
  private readonly timer: DueTimer;

  constructor(
    private readonly releases: Releases,
    private readonly announcements: Announcements,
    private readonly clock: Clock,
    private readonly codec: PayloadCodec,
    private readonly telemetry: EndTelemetry,
    private readonly log: Logger,
  ) {
    this.timer = new DueTimer({
      look: () => this.look(),
      everyMsMax: lookEveryMsMax,
      onError: (error) => this.log.warn({ error }, 'jobs that are due are released later'),
    });
  }

  start(): void {
    this.timer.wakeIn(0);
  }

  stop(): Promise<void> {
    return this.timer.stop();
  }

  /** A job waits until then. */
  expect(runAt: Date | null): void {
    if (runAt !== null) this.timer.wakeIn(runAt.getTime() - this.clock.now().getTime());
  }

  released(job: StandingJobRow, seq: number | null): OutgoingMessage {
    const context = extractTrace({ traceparent: job.traceparent });
    return announcementOf({ ...job, refused: false }, seq, { codec: this.codec, context });
  }

  expired(job: StandingJobRow) {
    return endedUnreleased(job, 'expired', { at: this.clock.now(), codec: this.codec });
  }

  /** @returns in how many ms the next job is due. */
  private async look(): Promise<number> {
    for (let more = true; more && !this.timer.stopped; ) {
      const batch = await this.releases.releaseDue(releasedMax, this);
      this.announcements.publish(batch.messages);
      for (const { finished, message } of batch.ended) {
        this.telemetry.ended(finished, extractTrace(message.headers));
      }
      const { released, unreadable } = batch;
      const expired = batch.ended.length;
      if (released + expired > 0) this.log.info({ released, expired }, 'jobs were released');
      for (const { id, tenant } of unreadable) {
        this.log.error({ job_id: id, tenant }, 'a job that is due cannot be read: it is put off');
      }
      more = released + expired + unreadable.length === releasedMax;
    }
    return (await this.releases.nextDueInMs()) ?? lookEveryMsMax;
  }
}

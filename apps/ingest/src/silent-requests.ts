import type { PayloadCodec } from '@millrace/contracts';
import { extractTrace, type Logger } from '@millrace/runtime';

import { announcementOf } from './announcement.ts';
import { DueTimer } from './due-timer.ts';
import type { Announcements, SilentJobs, StandingJobRow } from './ports.ts';

/** Requests published again at once, and, as batches are a second apart, in each second. */
const republishedMax = 100;
const batchEveryMs = 1_000;

export interface SilentRequestsOptions {
  readonly silent: SilentJobs;
  readonly announcements: Announcements;
  readonly codec: PayloadCodec;
  readonly log: Logger;
  /** Between two looks for jobs that have become silent. */
  readonly lookEveryMs: number;
}

/**
 * Publishes the requests of jobs again that were released long ago and have not ended. Whatever
 * was lost on the way, it is not the job: runners answer what they know, and run what they do not.
 */
export class SilentRequests {
  private readonly timer: DueTimer;

  constructor(private readonly options: SilentRequestsOptions) {
    this.timer = new DueTimer({
      look: () => this.look(),
      everyMsMax: options.lookEveryMs,
      onError: (error) => options.log.warn({ error }, 'silent jobs are looked for later'),
    });
  }

  start(): void {
    this.timer.wakeIn(0);
  }

  stop(): Promise<void> {
    return this.timer.stop();
  }

  /** @returns in how many ms to look again. */
  async look(): Promise<number> {
    const { log, lookEveryMs, silent } = this.options;
    const noted = await silent.note();
    if (noted > 0) log.warn({ jobs: noted }, 'jobs are silent');
    const dueInMs = await silent.nextDueInMs();
    if (dueInMs === null || dueInMs > 0) return dueInMs ?? lookEveryMs;
    await this.republish();
    // The next batch, or what another process is at.
    return batchEveryMs;
  }

  private async republish(): Promise<void> {
    const { announcements, codec, log, silent } = this.options;
    const announce = (job: StandingJobRow) => {
      const context = extractTrace({ traceparent: job.traceparent });
      return announcementOf(job, job.seq, { codec, context });
    };
    const { givenUp, messages, unreadable } = await silent.republishDue(republishedMax, announce);
    announcements.publish(messages);
    if (messages.length > 0) {
      log.warn({ requests: messages.length }, 'requests of silent jobs are sent again');
    }
    for (const { id: job_id, tenant } of givenUp) {
      log.error({ job_id, tenant }, 'a job stays silent however often it is asked for');
    }
    for (const { id: job_id, tenant } of unreadable) {
      log.error({ job_id, tenant }, 'a silent job cannot be read: it is tried again later');
    }
  }
}

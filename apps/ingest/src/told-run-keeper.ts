import type { JobFinished } from '@millrace/contracts';
import { Injectable } from '@nestjs/common';

import { isTextOutsideRow, toldRunJson } from './core/told-run.ts';
import { LiveJobs } from './live-jobs.ts';
import { LiveFeed, ToldRuns } from './ports.ts';

/** How long an end waits for the text that was told before it: hundreds of its usual way. */
const catchUpMsMax = 500;

/**
 * Keeps what was told of jobs that have ended, where their rows do not have it: who comes back
 * within a day gets what is missing, from any replica.
 *
 * T1 It is kept before the row says that the job has ended: who reads that finds it.
 * T2 It is as much as this process knows; what has no room in its memory is not kept.
 */
@Injectable()
export class ToldRunKeeper {
  constructor(
    private readonly live: LiveJobs,
    private readonly feed: LiveFeed,
    private readonly runs: ToldRuns,
  ) {}

  /** Idempotent. @throws when Postgres is away: then all of it may come again. */
  async keep(ends: readonly JobFinished[]): Promise<void> {
    const outside = ends.filter(isTextOutsideRow);
    if (outside.length === 0) return;
    await this.feed.caughtUp(catchUpMsMax);
    const told = outside.flatMap(({ finished_at: finishedAt, job_id: id, tenant }) => {
      const json = toldRunJson(this.live.runOf({ tenant, id }));
      return json === null ? [] : [{ tenant, id, json, finishedAt }];
    });
    if (told.length > 0) await this.runs.keep(told);
  }
}

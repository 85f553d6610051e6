import { setTimeout as delay } from 'node:timers/promises';

import { isTerminal, type JobView } from '@millrace/contracts';
import { Injectable } from '@nestjs/common';

import { LiveJobs } from './live-jobs.ts';
import { Jobs, type JobName } from './ports.ts';

/** Pauses before looks at a row that is to follow: half a second in all, mostly the first. */
const pausesMs = [4, 8, 16, 32, 64, 128, 256];

/**
 * What the API shows of one job. Who was told its end, by a webhook say, and asks at once is not
 * shown what was before: a row that lags behind an end that was heard of here is waited for.
 */
@Injectable()
export class JobReader {
  constructor(
    private readonly jobs: Jobs,
    private readonly live: LiveJobs,
  ) {}

  async find(name: JobName): Promise<JobView | null> {
    let view = await this.jobs.find(name);
    for (const ms of pausesMs) {
      if (view === null || isTerminal(view.status) || !this.live.hasEnded(name)) break;
      await delay(ms);
      view = await this.jobs.find(name);
    }
    return view;
  }
}

import { jobDayOf, topics, type JobProgressed } from '@millrace/contracts';
import { Step, type EventRecord, type StepResult } from '@millrace/kafka';
import { Controller } from '@nestjs/common';

import { progressEvent, saysRunning, saysStatus } from './core/progress-event.ts';
import { JobTimelines, Jobs, type JobPlace, type KeptEvent } from './ports.ts';

type ProgressedRecord = EventRecord<JobProgressed>;

/**
 * Shows jobs that take longer as running, or as what they wait for, and keeps what happens to them
 * for their timelines.
 */
@Controller()
export class ProgressedJobsConsumer {
  constructor(
    private readonly jobs: Jobs,
    private readonly timelines: JobTimelines,
  ) {}

  @Step(topics.jobsProgressed)
  async progress(records: readonly ProgressedRecord[]): Promise<StepResult<ProgressedRecord>> {
    const told = records.map(({ data }) => data);
    const statuses = told.filter(saysStatus);
    const [started, changed] = await Promise.all([
      this.jobs.start(told.filter(saysRunning).map(placeOf)),
      this.jobs.changeStatus(statuses.map((data) => ({ ...placeOf(data), ...data }))),
      this.timelines.keep(told.flatMap(keptEvents)),
    ]);
    for (const result of [...started, ...changed]) {
      if (result.status === 'rejected') throw result.reason;
    }
    return {};
  }
}

function keptEvents(data: JobProgressed): KeptEvent[] {
  const event = progressEvent(data);
  return event === null ? [] : [{ ...placeOf(data), event }];
}

function placeOf(data: JobProgressed): JobPlace {
  return { tenant: data.tenant, id: data.job_id, day: jobDayOf(data.created_at) };
}

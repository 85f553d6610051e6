import { jobDayOf, topics, type JobProgressed } from '@millrace/contracts';
import { Step, type EventRecord, type StepResult } from '@millrace/kafka';
import { Controller } from '@nestjs/common';

import { progressEvent, saysRunning } from './core/progress-event.ts';
import { JobTimelines, Jobs, type JobPlace } from './ports.ts';

type ProgressedRecord = EventRecord<JobProgressed>;

/** Shows jobs that take longer as running, and keeps what happens to them for their timelines. */
@Controller()
export class ProgressedJobsConsumer {
  constructor(
    private readonly jobs: Jobs,
    private readonly timelines: JobTimelines,
  ) {}

  @Step(topics.jobsProgressed)
  async progress(records: readonly ProgressedRecord[]): Promise<StepResult<ProgressedRecord>> {
    const told = records.map(({ data }) => data);
    const [started] = await Promise.all([
      this.jobs.start(told.filter(saysRunning).map(placeOf)),
      this.timelines.keep(told.map((data) => ({ ...placeOf(data), event: progressEvent(data) }))),
    ]);
    for (const result of started) {
      if (result.status === 'rejected') throw result.reason;
    }
    return {};
  }
}

function placeOf(data: JobProgressed): JobPlace {
  return { tenant: data.tenant, id: data.job_id, day: jobDayOf(data.created_at) };
}

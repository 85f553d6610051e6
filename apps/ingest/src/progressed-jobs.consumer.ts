import { jobDayOf, topics, type JobProgressed } from '@millrace/contracts';
import { Step, type EventRecord, type StepResult } from '@millrace/kafka';
import { Controller } from '@nestjs/common';

import { Jobs } from './ports.ts';

type ProgressedRecord = EventRecord<JobProgressed>;

/** Shows jobs that take longer as running. */
@Controller()
export class ProgressedJobsConsumer {
  constructor(private readonly jobs: Jobs) {}

  @Step(topics.jobsProgressed)
  async start(records: readonly ProgressedRecord[]): Promise<StepResult<ProgressedRecord>> {
    const started = records.map(({ data }) => ({
      tenant: data.tenant,
      id: data.job_id,
      day: jobDayOf(data.created_at),
    }));
    for (const result of await this.jobs.start(started)) {
      if (result.status === 'rejected') throw result.reason;
    }
    return {};
  }
}

import { topics, type JobFinished } from '@millrace/contracts';
import { Step, type EventRecord, type StepResult } from '@millrace/kafka';
import { BadRowError } from '@millrace/postgres';
import { Logger, names } from '@millrace/runtime';
import { Controller } from '@nestjs/common';

import { EndTelemetry } from './end-telemetry.ts';
import { jobEndOf } from './job-end.ts';
import { Jobs, type EndResult } from './ports.ts';
import { ToldRunKeeper } from './told-run-keeper.ts';

type FinishedRecord = EventRecord<JobFinished>;
type DeadLetters = NonNullable<StepResult<FinishedRecord>['deadLetters']>;

/** Lets the rows follow `jobs.finished.v1`: what the API shows is what everyone was told. */
@Controller()
export class FinishedJobsConsumer {
  constructor(
    private readonly jobs: Jobs,
    private readonly told: ToldRunKeeper,
    private readonly telemetry: EndTelemetry,
    private readonly log: Logger,
  ) {}

  @Step(topics.jobsFinished)
  async end(records: readonly FinishedRecord[]): Promise<StepResult<FinishedRecord>> {
    await this.told.keep(records.map(({ data }) => data));
    const results = await this.jobs.finish(records.map(({ data }) => jobEndOf(data)));
    const deadLetters: DeadLetters[number][] = [];
    records.forEach((record, index) => {
      const result = results[index];
      if (result === undefined) throw new TypeError('an end without an outcome');
      if (result.status === 'fulfilled') return this.describe(record, result.value);
      // Anything but a bad row is lost infrastructure: the step comes again with all its records.
      if (!(result.reason instanceof BadRowError)) throw result.reason;
      const detail = `the database refused the row (${result.reason.sqlState})`;
      deadLetters.push({ record, code: 'bad_row', detail });
    });
    return { deadLetters };
  }

  private describe({ data, context }: FinishedRecord, result: EndResult): void {
    if (result === 'unknown') {
      const { job_id, tenant, type, status } = data;
      const facts = { event: names.event.jobFinished, job_id, tenant, type, status, context };
      this.log.warn({ ...facts, known: false }, 'a job that is not known here has ended');
    }
    if (result === 'ended') this.telemetry.ended(data, context);
  }
}

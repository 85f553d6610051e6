import { jobDayOf, topics, type JobFinished } from '@millrace/contracts';
import { Step, type EventRecord, type StepResult } from '@millrace/kafka';
import { BadRowError } from '@millrace/postgres';
import { Logger, Metrics, names, type Counter, type Histogram } from '@millrace/runtime';
import { Controller } from '@nestjs/common';

import { partsOf } from './core/job-view.ts';
import { Jobs, type EndResult, type JobEnd } from './ports.ts';

type FinishedRecord = EventRecord<JobFinished>;
type DeadLetters = NonNullable<StepResult<FinishedRecord>['deadLetters']>;

/** Lets the rows follow `jobs.finished.v1`: what the API shows is what everyone was told. */
@Controller()
export class FinishedJobsConsumer {
  private readonly finished: Counter;
  private readonly duration: Histogram;

  constructor(
    private readonly jobs: Jobs,
    private readonly log: Logger,
    metrics: Metrics,
  ) {
    const labels = ['type', 'outcome'];
    const help = 'Jobs that have ended, by type and outcome';
    this.finished = metrics.counter(names.metric.jobsFinished, { help, labels });
    this.duration = metrics.histogram(names.metric.jobDuration, {
      help: 'Seconds from acceptance to the end of a job',
      labels,
    });
  }

  @Step(topics.jobsFinished)
  async end(records: readonly FinishedRecord[]): Promise<StepResult<FinishedRecord>> {
    const results = await this.jobs.finish(records.map(({ data }) => endOf(data)));
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
    const { job_id, tenant, type, status } = data;
    const facts = { event: names.event.jobFinished, job_id, tenant, type, status, context };
    if (result === 'unknown') {
      this.log.warn({ ...facts, known: false }, 'a job that is not known here has ended');
    }
    if (result !== 'ended') return;
    this.finished.inc({ type, outcome: status });
    const seconds = (Date.parse(data.finished_at) - Date.parse(data.created_at)) / 1000;
    this.duration.observe({ type, outcome: status }, Math.max(0, seconds));
    this.log.debug(facts, 'a job has ended');
  }
}

function endOf(finished: JobFinished): JobEnd {
  const { outcome, answer } = partsOf(finished);
  return {
    tenant: finished.tenant,
    id: finished.job_id,
    day: jobDayOf(finished.created_at),
    status: finished.status,
    finishedAt: finished.finished_at,
    outcomeJson: JSON.stringify(outcome),
    answerJson: answer === null ? null : JSON.stringify(answer),
  };
}

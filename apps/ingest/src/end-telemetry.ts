import type { JobFinished } from '@millrace/contracts';
import { Logger, Metrics, names, type Counter, type Histogram } from '@millrace/runtime';
import { Injectable } from '@nestjs/common';
import type { Context } from '@opentelemetry/api';

/** Tells of each job's end, once: by who wrote it into the job's row. */
@Injectable()
export class EndTelemetry {
  private readonly finished: Counter;
  private readonly duration: Histogram;

  constructor(
    metrics: Metrics,
    private readonly log: Logger,
  ) {
    const labels = ['type', 'outcome'];
    const help = 'Jobs that have ended, by type and outcome';
    this.finished = metrics.counter(names.metric.jobsFinished, { help, labels });
    this.duration = metrics.histogram(names.metric.jobDuration, {
      help: 'Seconds from acceptance to the end of a job',
      labels,
    });
  }

  ended(data: JobFinished, context: Context): void {
    const { job_id, tenant, type, status } = data;
    this.finished.inc({ type, outcome: status });
    const seconds = (Date.parse(data.finished_at) - Date.parse(data.created_at)) / 1000;
    this.duration.observe({ type, outcome: status }, Math.max(0, seconds));
    const facts = { event: names.event.jobFinished, job_id, tenant, type, status, context };
    this.log.debug(facts, 'a job has ended');
  }
}

import { Metrics, names, type Counter } from '@millrace/runtime';
import { Injectable } from '@nestjs/common';

export interface CountedSubmission {
  /** `unknown` for a record that could not be read. */
  readonly type: string;
  readonly via: 'http' | 'kafka';
  readonly outcome: 'accepted' | 'replayed' | 'refused';
}

/** The rate at which work comes in. */
@Injectable()
export class SubmissionCounter {
  private readonly counter: Counter;

  constructor(metrics: Metrics) {
    this.counter = metrics.counter(names.metric.jobsSubmitted, {
      help: 'Jobs handed over, by type, way in and outcome',
      labels: ['type', 'via', 'outcome'],
    });
  }

  count({ type, via, outcome }: CountedSubmission): void {
    this.counter.inc({ type, via, outcome });
  }
}

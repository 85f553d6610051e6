import { Metrics, names, type Counter } from '@millrace/runtime';
import { Injectable } from '@nestjs/common';

export interface CountedRefusal {
  readonly reason: string;
  readonly via: 'http' | 'kafka';
}

/** What was refused, or made to wait, because there is too much of it. */
@Injectable()
export class AdmissionCounter {
  private readonly counter: Counter;

  constructor(metrics: Metrics) {
    this.counter = metrics.counter(names.metric.admissionRefused, {
      help: 'Requests refused, and batches of records that wait, by the limit that was reached',
      labels: ['reason', 'via'],
    });
  }

  refused({ reason, via }: CountedRefusal): void {
    this.counter.inc({ reason, via });
  }
}

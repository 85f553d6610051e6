import {
  jobDayOf,
  type JobFinished,
  type PayloadCodec,
} from '@millrace/contracts';
import { eventMessage } from '@millrace/kafka';
import { extractTrace } from '@millrace/runtime';

import { partsOf } from './core/job-view.ts';
import { unreleasedEnd } from './core/unreleased-end.ts';
import type { JobEnd, StandingJobRow, ToldEnd } from './ports.ts';

/** What a terminal event makes of its job's row. */
export function jobEndOf(finished: JobFinished): JobEnd {
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

/** The end of a job that nobody will run: what its row becomes, and the event that tells of it. */
export function endedUnreleased(
  job: StandingJobRow,
  status: 'cancelled' | 'expired',
  o: { readonly at: Date; readonly codec: PayloadCodec },
): ToldEnd {
  const { data, route } = unreleasedEnd(job, status, o.at);
  const message = eventMessage<JobFinished>({
    ...route,
    source: 'ingest',
    subject: job.id,
    time: o.at,
    tenant: job.tenant,
    data,
    codec: o.codec,
    context: extractTrace({ traceparent: job.traceparent }),
  });
  return { end: jobEndOf(data), message, finished: data };
}

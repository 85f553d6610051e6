import { jobReplySchema, topics, type JobFinished } from '@millrace/contracts';
import { z } from 'zod';

import type { CancellableJob } from './cancel-request.ts';
import type { EventRoute } from './new-job.ts';

export interface UnreleasedEnd {
  readonly route: EventRoute;
  readonly data: JobFinished;
}

const requestSchema = z.object({ reply: jobReplySchema });

const errors = {
  cancelled: { code: 'cancelled', detail: 'the job was cancelled before it began' },
  expired: { code: 'deadline_exceeded', detail: 'complete_by has passed before the job began' },
} as const;

/** The one terminal event of a job that ends before it is released. */
export function unreleasedEnd(
  job: Omit<CancellableJob, 'seq'>,
  status: keyof typeof errors,
  at: Date,
): UnreleasedEnd {
  const { id, tenant, type, sessionId } = job;
  const { reply } = requestSchema.parse(JSON.parse(job.firstEventJson));
  const ceType = `millrace.job.${status}.v1`;
  const ceId = `${tenant}:${id}:finished`;
  return {
    route: { topic: topics.jobsFinished, type: ceType, id: ceId, key: id },
    data: {
      tenant,
      job_id: id,
      type,
      status,
      session_id: sessionId ?? undefined,
      error: errors[status],
      attempts: [],
      callback: reply.callback,
      metadata: reply.metadata,
      created_at: reply.created_at,
      finished_at: at.toISOString(),
    },
  };
}

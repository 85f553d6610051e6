import type { JobFinished, WorkflowRequested } from '@millrace/contracts';

/** How a requested workflow ends. Its event derives from the request alone. */
export interface Ended {
  /** `ce_id`: the same for every redelivery of the request. */
  readonly eventId: string;
  readonly finished: JobFinished;
}

/**
 * Ends an agent or document job as failed: until workflows run here, that is the honest answer.
 * `requestedAt` is the time of the request's record, not of the clock, so that a request that is
 * delivered twice is answered with the same event twice.
 */
export function decide(request: WorkflowRequested, requestedAt: Date): Ended {
  const { tenant, job_id, type, session_id, reply } = request;
  return {
    eventId: `${tenant}:${job_id}:finished`,
    finished: {
      tenant,
      job_id,
      type,
      status: 'failed',
      ...(session_id === undefined ? {} : { session_id }),
      error: {
        code: 'not_available_yet',
        detail: `jobs of type ${type} are not available yet; send a job of type message`,
      },
      attempts: [],
      ...(reply.callback === undefined ? {} : { callback: reply.callback }),
      ...(reply.metadata === undefined ? {} : { metadata: reply.metadata }),
      created_at: reply.created_at,
      finished_at: requestedAt.toISOString(),
    },
  };
}

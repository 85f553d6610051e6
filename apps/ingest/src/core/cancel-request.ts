import {
  assertNever,
  jobReplySchema,
  type ClaudeCancelRequested,
  type JobId,
  type JobType,
  type SessionId,
  type TenantId,
  type WorkflowCancelRequested,
} from '@millrace/contracts';
import { z } from 'zod';

import { routeOf, type EventRoute } from './new-job.ts';

/** What of a job's row its cancel is made of. */
export interface CancellableJob {
  readonly tenant: TenantId;
  readonly id: JobId;
  readonly type: JobType;
  readonly sessionId: SessionId | null;
  readonly firstEventJson: string;
  readonly seq: number | null;
}

export interface CancelRequest {
  readonly route: EventRoute;
  readonly data: ClaudeCancelRequested | WorkflowCancelRequested;
}

const requestSchema = z.object({ reply: jobReplySchema });

/**
 * The event that asks a job's runner to end it: on the topic and key of the request, and with what
 * the end has to tell, as it may come before the request.
 */
export function cancelRequestOf(job: CancellableJob): CancelRequest {
  const { id: job_id, seq, sessionId, tenant, type } = job;
  const { reply } = requestSchema.parse(JSON.parse(job.firstEventJson));
  const { key, topic } = routeOf({ ...job, refused: false });
  const id = `${tenant}:${job_id}:cancel-requested`;
  switch (type) {
    case 'message': {
      const turn =
        sessionId === null ? {} : { session_id: sessionId, session_seq: seq ?? undefined };
      const route = { topic, key, id, type: 'millrace.claude.cancel-requested.v1' };
      return { route, data: { tenant, call_id: job_id, ...turn, reply } };
    }
    case 'agent':
    case 'document': {
      const route = { topic, key, id, type: 'millrace.workflow.cancel-requested.v1' };
      return { route, data: { tenant, job_id, type, reply } };
    }
    default:
      return assertNever(type);
  }
}

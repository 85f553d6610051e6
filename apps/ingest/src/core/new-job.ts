import type {
  ClaudeRequested,
  ErrorCode,
  JobFinished,
  JobId,
  JobReply,
  JobType,
  Lane,
  SessionId,
  TenantId,
  WorkflowRequested,
} from '@millrace/contracts';
import { assertNever, topics, type Topic } from '@millrace/contracts';

import type { RefusedJob } from './decode-record.ts';
import type { Outcome } from './job-view.ts';
import { mustWait } from './job-times.ts';
import { laneDefault, type JobOrder } from './judge-submission.ts';

/** Where a job came in, and under which cause. */
export interface Arrival {
  readonly tenant: TenantId;
  readonly source: 'http' | 'kafka';
  readonly idempotencyKey: string | null;
  readonly traceparent: string;
  readonly createdAt: Date;
  /** The failed job that this one does again. */
  readonly redriveOf?: JobId;
  /** The job whose first steps this one takes over. */
  readonly forkOf?: JobId;
}

/** A job row about to be inserted. Bodies are JSON texts; the store encodes them. */
export interface NewJob extends Arrival {
  readonly id: JobId;
  readonly type: JobType;
  readonly status: 'queued' | 'failed';
  readonly lane: Lane;
  readonly sessionId: SessionId | null;
  readonly model: string | null;
  readonly requestHash: Buffer;
  readonly refused: boolean;
  /** Data of the event that the row publishes first, without `session_seq`. */
  readonly firstEventJson: string;
  readonly metadataJson: string | null;
  readonly outcomeJson: string | null;
  readonly finishedAt: Date | null;
  readonly runAt: Date | null;
  readonly completeBy: Date | null;
  /** It is not released yet: nobody is told of it before its `runAt`. */
  readonly waits: boolean;
}

/** What of a row decides where its first event goes. */
export interface EventOrigin {
  readonly tenant: TenantId;
  readonly id: JobId;
  readonly type: JobType;
  readonly sessionId: SessionId | null;
  readonly refused: boolean;
}

export interface EventRoute {
  readonly topic: Topic;
  readonly type: string;
  readonly id: string;
  readonly key: string;
}

/** Where a job's parameters travel: inside the event, or in `blobs`. */
export type ParamsCarrier =
  | { readonly kind: 'inline'; readonly params: Readonly<Record<string, unknown>> }
  | { readonly kind: 'blob'; readonly ref: string };

/** The row of a job that will be run. */
export function newJob(
  arrival: Arrival,
  job: { readonly id: JobId; readonly order: JobOrder; readonly carrier: ParamsCarrier },
): NewJob {
  const { order } = job;
  return {
    ...arrival,
    id: job.id,
    type: order.type,
    status: 'queued',
    lane: order.lane,
    sessionId: order.sessionId ?? null,
    model: order.model ?? null,
    requestHash: order.requestHash,
    refused: false,
    firstEventJson: JSON.stringify(requestOf(arrival, job)),
    metadataJson: order.metadata === undefined ? null : JSON.stringify(order.metadata),
    outcomeJson: null,
    finishedAt: null,
    runAt: order.times.runAt ?? null,
    completeBy: order.times.completeBy ?? null,
    waits: mustWait(order.times, arrival.createdAt),
  };
}

/** The row of a job that ends as it arrives, so that its sender is told by the usual ways. */
export function refusedJob(arrival: Arrival, job: RefusedJob): NewJob {
  const error = { code: job.code, detail: job.detail };
  const outcome: Outcome = { error, attempts: [] };
  return {
    ...arrival,
    id: job.id,
    type: job.type,
    status: 'failed',
    lane: laneDefault,
    sessionId: null,
    model: null,
    requestHash: job.requestHash,
    refused: true,
    firstEventJson: JSON.stringify(endOf(arrival, { job, error })),
    metadataJson: null,
    outcomeJson: JSON.stringify(outcome),
    finishedAt: arrival.createdAt,
    runAt: null,
    completeBy: null,
    waits: false,
  };
}

/** Topic, type, id and key of the first event: the same whenever it is published again. */
export function routeOf(origin: EventOrigin): EventRoute {
  const { tenant, id } = origin;
  if (origin.refused) {
    const type = 'millrace.job.failed.v1';
    return { topic: topics.jobsFinished, type, id: `${tenant}:${id}:finished`, key: id };
  }
  const ceId = `${tenant}:${id}:requested`;
  switch (origin.type) {
    case 'message': {
      const key = `${tenant}/${origin.sessionId ?? id}`;
      return { topic: topics.claudeRequested, type: claudeRequestedType, id: ceId, key };
    }
    case 'agent':
    case 'document': {
      const key = `${tenant}/${id}`;
      return { topic: topics.workflowsRequested, type: workflowRequestedType, id: ceId, key };
    }
    default:
      return assertNever(origin.type);
  }
}

/** Puts a job's place in its session, which only the commit knows, into the event's JSON. */
export function withSessionSeq(firstEventJson: string, seq: number | null): string {
  return seq === null ? firstEventJson : `{"session_seq":${seq},${firstEventJson.slice(1)}`;
}

const claudeRequestedType = 'millrace.claude.requested.v1';
const workflowRequestedType = 'millrace.workflow.requested.v1';

function requestOf(
  arrival: Arrival,
  job: { readonly id: JobId; readonly order: JobOrder; readonly carrier: ParamsCarrier },
): ClaudeRequested | WorkflowRequested {
  const { order, carrier } = job;
  const body =
    carrier.kind === 'inline' ? { params: carrier.params } : { params_ref: carrier.ref };
  const reply = replyOf(arrival, order);
  const { tenant } = arrival;
  const complete_by = order.times.completeBy?.toISOString();
  const { budget, lane, sessionId: session_id, stream, type } = order;
  const asked = { tenant, lane, session_id, stream, ...body, complete_by, reply };
  if (type === 'message') return { call_id: job.id, ...asked };
  const tainted = order.tainted ? true : undefined;
  return { job_id: job.id, type, ...asked, budget, tainted, fork: order.fork };
}

function replyOf(arrival: Arrival, order: JobOrder): JobReply {
  const url = order.callbackUrl;
  return {
    kind: 'job',
    callback: url === undefined ? undefined : { url },
    metadata: order.metadata,
    redrive_of: arrival.redriveOf,
    created_at: arrival.createdAt.toISOString(),
  };
}

function endOf(
  arrival: Arrival,
  o: { readonly job: RefusedJob; readonly error: { code: ErrorCode; detail: string } },
): JobFinished {
  const at = arrival.createdAt.toISOString();
  const url = o.job.callbackUrl;
  return {
    tenant: arrival.tenant,
    job_id: o.job.id,
    type: o.job.type,
    status: 'failed',
    error: o.error,
    attempts: [],
    callback: url === undefined ? undefined : { url },
    created_at: at,
    finished_at: at,
  };
}

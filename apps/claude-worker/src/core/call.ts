import {
  type Attempt,
  type CallId,
  type ConversationId,
  type JobId,
  jobIdSchema,
  type Lane,
  type Reply,
  type TenantId,
} from '@millrace/contracts';

/** Parameters of the Messages API, unchanged and mostly unread here. */
export type CallParams = Readonly<Record<string, unknown>>;

/** Where the request came from: what its dead letter has to say. */
export interface CallOrigin {
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
  readonly key: string | null;
  readonly headers: Readonly<Record<string, string>>;
}

/** The turn of a conversation that a call is. */
export interface SessionTurn {
  readonly sessionId: ConversationId;
  readonly seq: number;
}

/** A call as its request asks for it. */
export interface CallRequest {
  /** `<tenant>/<call id>`; a tenant's name has no slash. */
  readonly id: string;
  readonly tenant: TenantId;
  readonly callId: CallId;
  /** `YYYY-MM-DD`: the day that the job's rows are kept under. */
  readonly day: string;
  readonly lane: Lane;
  readonly session: SessionTurn | null;
  readonly stream: boolean;
  /** Null when the parameters lie in blobs. */
  readonly params: CallParams | null;
  readonly paramsRef: string | null;
  /** `complete_by` of the job: nothing is sent from then on, and what runs is ended. */
  readonly expiresAtMs: number | null;
  readonly reply: Reply;
  readonly origin: CallOrigin;
  /** The requesting message's `process` span. */
  readonly traceparent: string | null;
  readonly tracestate: string | null;
}

/** What a call is found by. */
export type CallName = Pick<CallRequest, 'id' | 'tenant' | 'callId' | 'day'>;

/** A wish to end a call, with what the end tells when it comes before the call's request. */
export type CallCancel = CallName &
  Pick<CallRequest, 'session' | 'reply' | 'origin' | 'traceparent' | 'tracestate'>;

/** A body of a call's row. */
export type StoredBody = 'params' | 'reply' | 'origin';

/** A claimed call: one attempt of it is about to be sent, or was. */
export interface Call extends CallRequest {
  /** The process that this attempt belongs to: with `attempt` the fence of its settlement. */
  readonly owner: string;
  readonly attempt: number;
  readonly failures: number;
  readonly redispatches: number;
  /** Someone asked for it to be cancelled before this attempt began: nothing is sent. */
  readonly cancelRequested: boolean;
  readonly createdAtMs: number;
  readonly dispatchedAtMs: number;
  /** Attempts before this one, oldest first. */
  readonly closedAttempts: readonly Attempt[];
  /** Bodies of its row that cannot be read: such a call is never sent, it is only to be ended. */
  readonly unreadable: readonly StoredBody[];
}

/** The first attempt of a call that went to a process as it came in. */
export function firstAttempt(request: CallRequest, owner: string, atMs: number): Call {
  return {
    ...request,
    owner,
    attempt: 1,
    failures: 0,
    redispatches: 0,
    cancelRequested: false,
    createdAtMs: atMs,
    dispatchedAtMs: atMs,
    closedAttempts: [],
    unreadable: [],
  };
}

/**
 * How long a call may go on from its dispatch, in ms: negative when it came too late. Both times
 * are of the database's clock, so that what is left can be counted on any other.
 */
export function leftAtDispatchMs(call: Pick<Call, 'expiresAtMs' | 'dispatchedAtMs'>): number {
  return call.expiresAtMs === null ? Infinity : call.expiresAtMs - call.dispatchedAtMs;
}

/** The job that users know. A message job's call has its id; a workflow's says whose it is. */
export function jobIdOf({ callId, reply }: Pick<CallRequest, 'callId' | 'reply'>): JobId {
  return reply.kind === 'workflow' ? reply.job_id : jobIdSchema.parse(callId);
}

export function callKey(tenant: string, callId: string): string {
  return `${tenant}/${callId}`;
}

const lanes: readonly Lane[] = ['interactive', 'standard', 'bulk'];

/** A lane's place in the claim order. */
export function laneRank(lane: Lane): number {
  return lanes.indexOf(lane);
}

export function laneOfRank(rank: number): Lane {
  return lanes[rank] ?? 'standard';
}

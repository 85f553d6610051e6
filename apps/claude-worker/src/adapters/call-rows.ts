import {
  type Attempt,
  callIdSchema,
  conversationIdSchema,
  jobIdSchema,
  type PayloadCodec,
  type Reply,
  replySchema,
  tenantIdSchema,
  workflowIdSchema,
} from '@millrace/contracts';
import { z } from 'zod';

import { type Call, callKey, laneOfRank, type StoredBody } from '../core/call.ts';

/** A row as `callColumns` selects it. */
const callRowSchema = z.object({
  tenant: tenantIdSchema,
  call_id: callIdSchema,
  day: z.string(),
  lane: z.int(),
  session_id: conversationIdSchema.nullable(),
  session_seq: z.int().nullable(),
  stream: z.boolean(),
  params: z.instanceof(Buffer).nullable(),
  params_ref: z.string().nullable(),
  expires_at: z.date().nullable(),
  reply: z.instanceof(Buffer),
  origin: z.instanceof(Buffer),
  traceparent: z.string().nullable(),
  tracestate: z.string().nullable(),
  owner: z.string(),
  attempt: z.int(),
  failures: z.int(),
  redispatches: z.int(),
  cancel_requested: z.boolean(),
  created_at: z.date(),
  dispatched_at: z.date(),
  closed_attempts: z
    .array(
      z.object({
        number: z.int(),
        outcome: z.enum(['succeeded', 'failed', 'unknown']),
        code: z.string().nullable(),
        http_status: z.int().nullable(),
        request_id: z.string().nullable(),
        started_at_ms: z.number(),
        ended_at_ms: z.number(),
      }),
    )
    .nullable(),
});
type ClosedRow = NonNullable<z.infer<typeof callRowSchema>['closed_attempts']>[number];

const originSchema = z.object({
  topic: z.string(),
  partition: z.int(),
  offset: z.string(),
  key: z.string().nullable(),
  headers: z.record(z.string(), z.string()),
});
const paramsSchema = z.record(z.string(), z.unknown());

/** Encodes a body for a table. */
export function encodeBody(codec: PayloadCodec, tenant: string, body: unknown): Buffer {
  return codec.encode(Buffer.from(JSON.stringify(body)), { tenant, medium: 'table' });
}

export function decodeBody(codec: PayloadCodec, tenant: string, bytes: Buffer): unknown {
  return JSON.parse(codec.decode(bytes, { tenant, medium: 'table' }).toString());
}

/**
 * Reads a claimed row. A body that cannot be read is told by the call: a throw would keep all that
 * were claimed with it from being run, and again at every claim.
 */
export function callOfRow(codec: PayloadCodec, row: unknown): Call {
  const read = callRowSchema.parse(row);
  const { tenant, call_id: callId, session_id: sessionId, session_seq: seq } = read;
  const unreadable: StoredBody[] = [];
  const body = <T>(name: StoredBody, schema: z.ZodType<T>, instead: () => T): T => {
    const bytes = read[name];
    if (bytes === null) return instead();
    try {
      return schema.parse(decodeBody(codec, tenant, bytes));
    } catch {
      unreadable.push(name);
      return instead();
    }
  };
  return {
    id: callKey(tenant, callId),
    tenant,
    callId,
    day: read.day,
    lane: laneOfRank(read.lane),
    session: sessionId === null || seq === null ? null : { sessionId, seq },
    stream: read.stream,
    params: body('params', paramsSchema.nullable(), () => null),
    paramsRef: read.params_ref,
    expiresAtMs: read.expires_at?.getTime() ?? null,
    reply: body('reply', replySchema, () => replyOf(read.call_id, read.day)),
    origin: body('origin', originSchema, () => lostOrigin),
    traceparent: read.traceparent,
    tracestate: read.tracestate,
    owner: read.owner,
    attempt: read.attempt,
    failures: read.failures,
    redispatches: read.redispatches,
    cancelRequested: read.cancel_requested,
    createdAtMs: read.created_at.getTime(),
    dispatchedAtMs: read.dispatched_at.getTime(),
    closedAttempts: (read.closed_attempts ?? []).map(closedAttempt),
    unreadable,
  };
}

/**
 * What is known of the reply when it is lost: the day of the job, which its end has to name, and
 * of a workflow's call, which is `<workflow>/m<n>`, whose it is.
 */
function replyOf(callId: string, day: string): Reply {
  const created_at = `${day}T00:00:00.000Z`;
  const [, workflow = '', turn = '1'] = /^(.+)\/m(\d+)$/.exec(callId) ?? [];
  const workflow_id = workflowIdSchema.safeParse(workflow);
  const job_id = jobIdSchema.safeParse(workflow.split('/')[0]);
  if (!workflow_id.success || !job_id.success) return { kind: 'job', created_at };
  const names = { workflow_id: workflow_id.data, job_id: job_id.data };
  return { kind: 'workflow', ...names, turn: Number(turn), created_at };
}

/** Told by dead letters alone, and a call that cannot be read leaves none. */
const lostOrigin = { topic: '', partition: 0, offset: '', key: null, headers: {} };

function closedAttempt(row: ClosedRow): Attempt {
  return {
    number: row.number,
    outcome: row.outcome,
    ...(row.code === null ? {} : { code: row.code }),
    ...(row.http_status === null ? {} : { http_status: row.http_status }),
    started_at: new Date(row.started_at_ms).toISOString(),
    ended_at: new Date(row.ended_at_ms).toISOString(),
    ...(row.request_id === null ? {} : { request_id: row.request_id }),
  };
}

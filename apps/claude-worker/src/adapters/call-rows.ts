import {
  type Attempt,
  callIdSchema,
  conversationIdSchema,
  type PayloadCodec,
  replySchema,
  tenantIdSchema,
} from '@millrace/contracts';
import { z } from 'zod';

import { type Call, callKey, laneOfRank } from '../core/call.ts';

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

/** Reads a claimed row. */
export function callOfRow(codec: PayloadCodec, row: unknown): Call {
  const read = callRowSchema.parse(row);
  const { tenant, call_id: callId, session_id: sessionId, session_seq: seq } = read;
  const body = (bytes: Buffer): unknown => decodeBody(codec, tenant, bytes);
  return {
    id: callKey(tenant, callId),
    tenant,
    callId,
    day: read.day,
    lane: laneOfRank(read.lane),
    session: sessionId === null || seq === null ? null : { sessionId, seq },
    stream: read.stream,
    params: read.params === null ? null : paramsSchema.parse(body(read.params)),
    paramsRef: read.params_ref,
    expiresAtMs: read.expires_at?.getTime() ?? null,
    reply: replySchema.parse(body(read.reply)),
    origin: originSchema.parse(body(read.origin)),
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
  };
}

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

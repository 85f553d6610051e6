import {
  documentSplitRequestedSchema,
  toolDescribeRequestedSchema,
  toolRunRequestedSchema,
  traceHeaders,
  type PayloadCodec,
} from '@millrace/contracts';
import { z } from 'zod';

import { executionId, type Execution, type ExecutionRequest } from '../core/execution.ts';

/** How much time a row's run has left, by the clock that made `complete_by`. */
export const leftColumn = `
  (extract(epoch FROM complete_by - clock_timestamp()) * 1000)::float8 AS left_ms`;

/** What a claim returns of a row; its names are the table's. */
export const claimedColumns = `e.tenant, e.call_id, e.day::text, e.request, e.origin,
  e.traceparent, e.tracestate, e.attempts, e.lost, e.cancel_requested, ${leftColumn}`;

export interface ExecutionRow {
  readonly tenant: string;
  readonly call_id: string;
  readonly day: string;
  readonly request: Buffer;
  readonly origin: string;
  readonly traceparent: string | null;
  readonly tracestate: string | null;
  readonly attempts: number;
  readonly lost: number;
  readonly cancel_requested: boolean;
  readonly left_ms: number | null;
}

const requestSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('run'), data: toolRunRequestedSchema }),
  z.object({ kind: z.literal('describe'), data: toolDescribeRequestedSchema }),
  z.object({ kind: z.literal('split'), data: documentSplitRequestedSchema }),
]);

/** A request as its row keeps it. */
export function encodeRequest(request: ExecutionRequest, codec: PayloadCodec): Buffer {
  const { tenant } = request.data;
  return codec.encode(Buffer.from(JSON.stringify(request)), { tenant, medium: 'table' });
}

/**
 * When what is left is over, by the monotonic clock. It is counted from before the statement, so
 * that its way here takes from the run's time and adds nothing to it.
 */
export function endsAtMs(leftMs: number | null, askedAtMs: number): number | null {
  return leftMs === null ? null : askedAtMs + leftMs;
}

/** How a row was claimed. */
export interface Claim {
  readonly owner: string;
  /** By the monotonic clock. */
  readonly askedAtMs: number;
}

/** A claimed row as the shell knows it. */
export function executionOfRow(row: ExecutionRow, claim: Claim, codec: PayloadCodec): Execution {
  const { tenant, call_id: callId } = row;
  const json = codec.decode(row.request, { tenant, medium: 'table' }).toString('utf8');
  return {
    id: executionId(tenant, callId),
    tenant,
    callId,
    day: row.day,
    request: requestSchema.parse(JSON.parse(json)),
    origin: row.origin,
    endsAtMs: endsAtMs(row.left_ms, claim.askedAtMs),
    traceHeaders: {
      ...(row.traceparent === null ? {} : { [traceHeaders.parent]: row.traceparent }),
      ...(row.tracestate === null ? {} : { [traceHeaders.state]: row.tracestate }),
    },
    owner: claim.owner,
    attempts: row.attempts,
    lost: row.lost,
    cancelRequested: row.cancel_requested,
  };
}

import {
  documentSplitRequestedSchema,
  toolDescribeRequestedSchema,
  toolRunRequestedSchema,
  traceHeaders,
  type PayloadCodec,
} from '@millrace/contracts';
import { z } from 'zod';

import { executionId, type Execution, type ExecutionRequest } from '../core/execution.ts';

/** What a claim returns of a row; its names are the table's. */
export const claimedColumns = `e.tenant, e.call_id, e.day::text, e.request, e.origin,
  e.traceparent, e.tracestate, e.attempts, e.lost, e.cancel_requested, e.complete_by`;

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
  readonly complete_by: Date | null;
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

/** A claimed row as the shell knows it. */
export function executionOfRow(row: ExecutionRow, owner: string, codec: PayloadCodec): Execution {
  const { tenant, call_id: callId } = row;
  const json = codec.decode(row.request, { tenant, medium: 'table' }).toString('utf8');
  return {
    id: executionId(tenant, callId),
    tenant,
    callId,
    day: row.day,
    request: requestSchema.parse(JSON.parse(json)),
    origin: row.origin,
    completeByMs: row.complete_by?.getTime() ?? null,
    traceHeaders: {
      ...(row.traceparent === null ? {} : { [traceHeaders.parent]: row.traceparent }),
      ...(row.tracestate === null ? {} : { [traceHeaders.state]: row.tracestate }),
    },
    owner,
    attempts: row.attempts,
    lost: row.lost,
    cancelRequested: row.cancel_requested,
  };
}

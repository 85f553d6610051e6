import { createHash } from 'node:crypto';

import { httpHeaders, webhookHeaders, type ToolRunRequested } from '@millrace/contracts';
import { signatureHeaders, type SigningKeys } from '@millrace/egress/core';

/** How our POSTs to tools name themselves. */
export const userAgent = 'Millrace-Tools/0.1.0';
/** 27 base64url characters are 162 bits: no two calls ever share a key. */
const keyLength = 27;

/** The same for every attempt of a call, and for no other call of any tenant. */
export function callKeyOf(tenant: string, callId: string): string {
  const hash = createHash('sha256').update(`${tenant}/${callId}`).digest('base64url');
  return `call_${hash.slice(0, keyLength)}`;
}

export interface HttpToolCall {
  readonly request: ToolRunRequested;
  /** From 1. */
  readonly attempt: number;
  /** The tool's own. */
  readonly headers: Readonly<Record<string, string>>;
  /** Of the live secrets, newest first, at least one. */
  readonly keys: readonly SigningKeys[];
  readonly nowMs: number;
  /** `traceparent` and `tracestate` of the call's own span. */
  readonly traceHeaders: Readonly<Record<string, string>>;
}

/** The body and every header of one attempt. Ours come last: none of a tool's hides one. */
export function httpToolRequest(call: HttpToolCall): {
  readonly headers: Record<string, string>;
  readonly body: Buffer;
} {
  const { attempt, request } = call;
  const body = Buffer.from(
    JSON.stringify({
      tool: request.tool,
      arguments: request.arguments,
      call_id: request.call_id,
      job_id: request.job_id,
      attempt,
    }),
  );
  const key = callKeyOf(request.tenant, request.call_id);
  const headers = {
    ...lowerCase(call.headers),
    'content-type': 'application/json',
    accept: 'application/json, text/*;q=0.9',
    'user-agent': userAgent,
    ...signatureHeaders({
      id: key,
      timestampSeconds: Math.floor(call.nowMs / 1_000),
      body,
      keys: call.keys,
    }),
    [webhookHeaders.attempt]: String(attempt),
    [httpHeaders.idempotencyKey]: key,
    ...call.traceHeaders,
  };
  return { headers, body };
}

function lowerCase(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]),
  );
}

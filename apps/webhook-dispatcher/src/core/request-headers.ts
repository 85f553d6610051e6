import { webhookHeaders } from '@millrace/contracts';
import { signatureHeaders, type SigningKeys } from '@millrace/egress/core';

import type { WholeDelivery } from './delivery.ts';
import { userAgent } from './user-agent.ts';

export interface RequestContext {
  /** Of the live secrets, newest first, at least one. */
  readonly keys: readonly SigningKeys[];
  readonly nowMs: number;
  /** `traceparent` and `tracestate` of the POST's own span. */
  readonly traceHeaders: Readonly<Record<string, string>>;
}

/** Every header of one attempt. The id stays the same in all of them; time and number do not. */
export function requestHeaders(
  delivery: Pick<WholeDelivery, 'id' | 'body' | 'attemptsMade'>,
  context: RequestContext,
): Record<string, string> {
  return {
    'content-type': 'application/json',
    'user-agent': userAgent,
    ...signatureHeaders({
      id: delivery.id,
      timestampSeconds: Math.floor(context.nowMs / 1_000),
      body: delivery.body,
      keys: context.keys,
    }),
    [webhookHeaders.attempt]: String(delivery.attemptsMade + 1),
    ...context.traceHeaders,
  };
}

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
  /** The receiver's own, which replace none of ours. */
  readonly extra: Readonly<Record<string, string>>;
}

/** Every header of one attempt. The id stays the same in all of them; time and number do not. */
export function requestHeaders(
  delivery: Pick<WholeDelivery, 'webhookId' | 'body' | 'attemptsMade'>,
  context: RequestContext,
): Record<string, string> {
  return {
    ...lowerCased(context.extra),
    'content-type': 'application/json',
    'user-agent': userAgent,
    ...signatureHeaders({
      id: delivery.webhookId,
      timestampSeconds: Math.floor(context.nowMs / 1_000),
      body: delivery.body,
      keys: context.keys,
    }),
    [webhookHeaders.attempt]: String(delivery.attemptsMade + 1),
    ...context.traceHeaders,
  };
}

/** As ours are written, so that one of the same name is replaced and not sent twice. */
function lowerCased(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]),
  );
}

import { assertNever } from '@millrace/contracts';
import type { PostResult } from '@millrace/egress';
import { parseRetryAfter } from '@millrace/egress/core';

/** What an attempt says of its lane, whatever becomes of the message. */
export type LaneSignal =
  | { readonly kind: 'success' }
  /** It answered, and did not want this message: neither a failure nor a sign of health. */
  | { readonly kind: 'refusal' }
  /** The egress proxy did not get us there: whether it is alive, nobody knows. */
  | { readonly kind: 'not_reached' }
  | {
      readonly kind: 'failure';
      readonly timedOut: boolean;
      /** It cannot keep up: fewer at once may help. */
      readonly overloaded: boolean;
      readonly blocked: boolean;
      readonly redirected: boolean;
      /** It said for how long it wants to be left alone. */
      readonly pauseMs: number | null;
    };

export const overloadStatuses: ReadonlySet<number> = new Set([408, 425, 429, 502, 503, 504]);
const retryAfterStatuses: ReadonlySet<number> = new Set([429, 503]);
export const goneStatus = 410;

const failure = {
  kind: 'failure',
  timedOut: false,
  overloaded: false,
  blocked: false,
  redirected: false,
  pauseMs: null,
} as const satisfies LaneSignal;

/** @returns null for what says nothing of the receiver: our own fault, or our own end. */
export function laneSignalOf(result: PostResult, nowMs: number): LaneSignal | null {
  switch (result.kind) {
    case 'response':
      return signalOfResponse(result, nowMs);
    case 'blocked':
      return { ...failure, blocked: true };
    case 'failed':
      if (result.class === 'local' || result.class === 'aborted') return null;
      if (result.class === 'proxy') return { kind: 'not_reached' };
      if (result.class === 'timeout') return { ...failure, timedOut: true, overloaded: true };
      return failure;
    default:
      return assertNever(result);
  }
}

/** How long a receiver asks to be left alone; null when it says nothing that counts. */
export function pauseMsOf(
  { status, headers }: Extract<PostResult, { kind: 'response' }>,
  nowMs: number,
): number | null {
  return retryAfterStatuses.has(status) ? parseRetryAfter(headers['retry-after'], nowMs) : null;
}

/** What the header `webhook-delivery` wishes, in the letters that we compare. */
export function wishOf({ headers }: Extract<PostResult, { kind: 'response' }>): string | undefined {
  return headers['webhook-delivery']?.trim().toLowerCase();
}

function signalOfResponse(
  response: Extract<PostResult, { kind: 'response' }>,
  nowMs: number,
): LaneSignal {
  const { status } = response;
  if (status >= 200 && status < 300) return { kind: 'success' };
  const wish = wishOf(response);
  if (status === goneStatus || wish === 'disable' || wish === 'abort-message') {
    return { kind: 'refusal' };
  }
  return {
    ...failure,
    overloaded: overloadStatuses.has(status),
    redirected: status >= 300 && status < 400,
    pauseMs: pauseMsOf(response, nowMs),
  };
}

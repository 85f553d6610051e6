import { assertNever } from '@millrace/contracts';

import type { ClaudeAnswer, ClaudeError } from './claude-answer.ts';

/**
 * What an error asks for.
 * - `fail`: this request is wrong; the job fails without a retry.
 * - `park`: the account is refused (key, billing, spend limit); jobs wait until access returns.
 * - `gate`: too fast; nobody sends until `retryAfterMs`, and it was no attempt.
 * - `retry`: back off; `unhealthy` when it speaks against the server's health.
 */
export type Verdict =
  | { readonly action: 'fail' }
  | { readonly action: 'park' }
  | { readonly action: 'gate'; readonly retryAfterMs: number | null }
  | {
      readonly action: 'retry';
      readonly unhealthy: boolean;
      readonly retryAfterMs: number | null;
    };

interface Row {
  /** A status, or the first of a hundred statuses; absent: any. */
  readonly status?: number | `${number}xx` | null;
  readonly type?: string;
  readonly errorCode?: string;
  readonly verdict: 'fail' | 'park' | 'gate' | 'retry' | 'retry_unhealthy';
}

/**
 * The one table of errors; the first row that fits decides. Never by the message's text: so a
 * spend limit that a user set, answered as a bare 400 `invalid_request_error`, fails the job.
 */
const table: readonly Row[] = [
  // Account-wide refusals, whatever status carries them.
  { errorCode: 'enforced_spend_limit_reached', verdict: 'park' },
  { errorCode: 'contract_spend_limit_reached', verdict: 'park' },
  { errorCode: 'organization_on_hold', verdict: 'park' },
  // Refusals of the one organisation that a request names: all others go on.
  { errorCode: 'linked_organization_billing_unavailable', verdict: 'fail' },
  { errorCode: 'linked_organization_spend_limit_reached', verdict: 'fail' },
  { type: 'billing_error', verdict: 'park' },
  { status: 401, verdict: 'park' },
  { status: 402, verdict: 'park' },
  { status: 429, verdict: 'gate' },
  { status: 408, verdict: 'retry' },
  { status: 409, verdict: 'retry' },
  { status: '5xx', verdict: 'retry_unhealthy' },
  // An `error` event in mid-stream, of any type.
  { status: null, verdict: 'retry_unhealthy' },
  { verdict: 'fail' },
];

function fits(row: Row, error: ClaudeError): boolean {
  if (row.errorCode !== undefined && row.errorCode !== error.errorCode) return false;
  if (row.type !== undefined && row.type !== error.type) return false;
  if (row.status === undefined || row.status === error.httpStatus) return true;
  return row.status === '5xx' && error.httpStatus !== null && error.httpStatus >= 500;
}

export function classifyError(error: ClaudeError): Verdict {
  const verdict = table.find((row) => fits(row, error))?.verdict ?? 'fail';
  const { retryAfterMs } = error;
  switch (verdict) {
    case 'park':
      return { action: 'park' };
    case 'gate':
      return { action: 'gate', retryAfterMs };
    case 'retry':
      return { action: 'retry', unhealthy: false, retryAfterMs };
    case 'retry_unhealthy':
      return { action: 'retry', unhealthy: true, retryAfterMs };
    case 'fail':
      return { action: 'fail' };
    default:
      return assertNever(verdict);
  }
}

/** @returns null for an answer that is no error of Claude's. */
export function classifyAnswer(answer: ClaudeAnswer): Verdict | null {
  switch (answer.kind) {
    case 'error':
      return classifyError(answer.error);
    case 'unreachable':
    case 'cut':
      return { action: 'retry', unhealthy: true, retryAfterMs: null };
    case 'message':
    case 'interrupted':
    case 'unsent':
    case 'unsendable':
      return null;
    default:
      return assertNever(answer);
  }
}

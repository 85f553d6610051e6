import { assertNever, type ErrorCode } from '@millrace/contracts';
import type { FailureClass, PostResult } from '@millrace/egress';

import { goneStatus, overloadStatuses, pauseMsOf, wishOf } from './lane-signal.ts';
import { retryDelayMs } from './retry-schedule.ts';

/** What one attempt came to; the row of a delivery becomes what this says. */
export type Outcome =
  | { readonly kind: 'delivered'; readonly disables: boolean; readonly attempt: Attempt }
  | { readonly kind: 'retry'; readonly afterMs: number; readonly attempt: Attempt }
  | { readonly kind: 'stopped'; readonly code: StopCode; readonly attempt: Attempt | null }
  /** Its endpoint is to be disabled, and keeps it for a replay. */
  | { readonly kind: 'skipped'; readonly reason: 'gone' | 'requested'; readonly attempt: Attempt }
  | { readonly kind: 'dead'; readonly code: DeadCode; readonly attempt: Attempt | null }
  /** Our own fault, or nothing sent at all: not an attempt. */
  | { readonly kind: 'postponed'; readonly afterMs: number; readonly reason: PostponeReason };

/** Whether the delivery is not over: it has another turn. */
export function waitsAgain({ kind }: Outcome): boolean {
  return kind === 'retry' || kind === 'postponed';
}

export type DeadCode = Extract<ErrorCode, 'blocked_address' | 'delivery_exhausted'>;
export type StopCode = Extract<ErrorCode, 'delivery_stopped' | 'endpoint_deleted'>;
export type PostponeReason =
  | 'tenant_unknown'
  | 'own_fault'
  | 'crashed'
  | 'stopping'
  /** Its lane had no room for it after all, or has closed. */
  | 'no_turn';
export type AttemptClass =
  | Exclude<FailureClass, 'local' | 'aborted'>
  | 'blocked'
  | 'redirect'
  | 'client_error'
  | 'server_error';

/** What the attempt log keeps. `class` is null for a 2xx. */
export interface Attempt {
  readonly class: AttemptClass | null;
  readonly status: number | null;
  readonly bodyExcerpt: Buffer | null;
  readonly timings: PostResult['timings'];
}

export interface RetryPolicy {
  readonly scheduleMs: readonly number[];
  /** Least wait after a sign of overload: a receiver that is drowning needs more than seconds. */
  readonly overloadRetryMsMin: number;
}

/** A minute, as operators expect of a load balancer's 502 or 503. */
export const overloadRetryMsMinDefault = 60_000;

export interface AttemptContext {
  /** Counted attempts before this one. */
  readonly attemptsMade: number;
  readonly createdAtMs: number;
  readonly nowMs: number;
  /** From [0, 1). */
  readonly random: number;
  readonly retry: RetryPolicy;
  /** Only an endpoint can be disabled; a callback URL is one job's. */
  readonly isEndpoint: boolean;
}

/** Wait after a fault of our own: short, since the receiver is not to blame. */
export const ownFaultRetryMs = 5_000;
/** Wait after a bug of our own: it is the same bug in a second. */
export const crashedRetryMs = 60_000;
/** Wait for a tenant whose secrets have not arrived: they are a moment behind its first job. */
export const tenantUnknownRetryMs = 1_000;
/** Age at which a delivery ends even if no attempt was ever counted: nothing waits for ever. */
export const deliveryAgeMsMax = 7 * 86_400_000;

/** The one table that says what an attempt's result means. */
export function outcomeOf(result: PostResult, context: AttemptContext): Outcome {
  switch (result.kind) {
    case 'response':
      return outcomeOfResponse(result, context);
    case 'blocked':
      return {
        kind: 'dead',
        code: 'blocked_address',
        attempt: attemptOf('blocked', result.timings),
      };
    case 'failed':
      return outcomeOfFailure(result.class, result.timings, context);
    default:
      return assertNever(result);
  }
}

/** Puts a delivery off without counting an attempt, unless it has become too old to be useful. */
export function postponed(
  reason: PostponeReason,
  context: Pick<AttemptContext, 'createdAtMs' | 'nowMs'>,
): Outcome {
  if (context.nowMs - context.createdAtMs > deliveryAgeMsMax) {
    return { kind: 'dead', code: 'delivery_exhausted', attempt: null };
  }
  return { kind: 'postponed', reason, afterMs: postponeMs(reason) };
}

function postponeMs(reason: PostponeReason): number {
  switch (reason) {
    case 'tenant_unknown':
      return tenantUnknownRetryMs;
    case 'own_fault':
      return ownFaultRetryMs;
    case 'crashed':
      return crashedRetryMs;
    case 'stopping':
    case 'no_turn':
      return 0;
    default:
      return assertNever(reason);
  }
}

function outcomeOfResponse(
  response: Extract<PostResult, { kind: 'response' }>,
  context: AttemptContext,
): Outcome {
  const { status } = response;
  const attempt: Attempt = {
    class: classOfStatus(status),
    status,
    bodyExcerpt: response.bodyExcerpt,
    timings: response.timings,
  };
  const wish = wishOf(response);
  const disables = context.isEndpoint && wish === 'disable';
  if (attempt.class === null) return { kind: 'delivered', disables, attempt };
  if (context.isEndpoint && (disables || status === goneStatus)) {
    return { kind: 'skipped', reason: disables ? 'requested' : 'gone', attempt };
  }
  if (status === goneStatus || wish === 'disable' || wish === 'abort-message') {
    return { kind: 'stopped', code: 'delivery_stopped', attempt };
  }
  return retryOrDead(attempt, leastWaitMs(response, context), context);
}

/** A receiver that says when to come back is believed; one that only groans gets a minute. */
function leastWaitMs(
  response: Extract<PostResult, { kind: 'response' }>,
  context: AttemptContext,
): number {
  const askedMs = pauseMsOf(response, context.nowMs);
  if (askedMs !== null) return askedMs;
  return overloadStatuses.has(response.status) ? context.retry.overloadRetryMsMin : 0;
}

function outcomeOfFailure(
  failure: FailureClass,
  timings: PostResult['timings'],
  context: AttemptContext,
): Outcome {
  switch (failure) {
    case 'local':
      return postponed('own_fault', context);
    case 'aborted':
      return postponed('stopping', context);
    case 'timeout':
      return retryOrDead(attemptOf(failure, timings), context.retry.overloadRetryMsMin, context);
    case 'dns':
    case 'refused':
    case 'unreachable':
    case 'reset':
    case 'tls':
    case 'protocol':
    case 'proxy':
    case 'other':
      return retryOrDead(attemptOf(failure, timings), 0, context);
    default:
      return assertNever(failure);
  }
}

function retryOrDead(attempt: Attempt, leastMs: number, context: AttemptContext): Outcome {
  const attemptsMade = context.attemptsMade + 1;
  const delayMs = retryDelayMs(context.retry.scheduleMs, attemptsMade, context.random);
  if (delayMs === null) return { kind: 'dead', code: 'delivery_exhausted', attempt };
  return { kind: 'retry', afterMs: Math.max(delayMs, leastMs), attempt };
}

function classOfStatus(status: number): AttemptClass | null {
  if (status >= 200 && status < 300) return null;
  if (status < 400) return 'redirect';
  return status < 500 ? 'client_error' : 'server_error';
}

function attemptOf(failure: AttemptClass, timings: PostResult['timings']): Attempt {
  return { class: failure, status: null, bodyExcerpt: null, timings };
}

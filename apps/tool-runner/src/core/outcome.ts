import type { Completion, Failure } from './completion.ts';
import { retryPauseMs } from './retry-pause.ts';

/** What one attempt came to, whatever kind of tool it was. */
export type ToolResult =
  | { readonly kind: 'output'; readonly output: unknown; readonly status?: number }
  | {
      readonly kind: 'failure';
      readonly failure: Failure;
      /** Another attempt may end better. */
      readonly transient: boolean;
      /** What the server asked for, by `Retry-After`. */
      readonly retryAfterMs?: number;
      /** For the telemetry: a class of failure, or an HTTP status. */
      readonly class: string;
      readonly status?: number;
    }
  /** Our own fault, or nothing sent at all: not an attempt. */
  | { readonly kind: 'postponed'; readonly reason: PostponeReason };

export type PostponeReason = 'tenant_unknown' | 'own_fault' | 'crashed' | 'stopping';

/** What becomes of a row. */
export type Outcome =
  | {
      readonly kind: 'ended';
      readonly completion: Completion;
      /** Whether anything was sent. */
      readonly attempted: boolean;
    }
  | { readonly kind: 'retry'; readonly afterMs: number; readonly failure: Failure }
  | { readonly kind: 'postponed'; readonly afterMs: number; readonly reason: PostponeReason };

export interface RetryContext {
  /** Attempts before this one that came to an end. */
  readonly attempts: number;
  /** Attempts after the first that the tool may have. */
  readonly retries: number;
  readonly baseMs: number;
  /** From [0, 1). */
  readonly random: number;
  /** Of the run that waits for it; null: it has no end. */
  readonly leftMs: number | null;
}

/** How long a failure that may pass is waited out; null: there is no attempt left, or no time. */
export function retryAfterMs(
  result: Extract<ToolResult, { kind: 'failure' }>,
  context: RetryContext,
): number | null {
  const { attempts, retries, baseMs, random, leftMs } = context;
  if (!result.transient || attempts >= retries) return null;
  const pauseMs = retryPauseMs(baseMs, attempts + 1, random);
  const afterMs = Math.max(pauseMs, result.retryAfterMs ?? 0);
  return leftMs !== null && afterMs >= leftMs ? null : afterMs;
}

/** Wait after a fault of our own: short, since the tool is not to blame. */
const ownFaultRetryMs = 1_000;
/** Wait after a bug of our own: it is the same bug in a second. */
const crashedRetryMs = 10_000;
/** Wait for a tenant whose secrets have not arrived: they are a moment behind its first job. */
const tenantUnknownRetryMs = 500;

export function postponed(reason: PostponeReason): Outcome {
  const afterMs = {
    tenant_unknown: tenantUnknownRetryMs,
    own_fault: ownFaultRetryMs,
    crashed: crashedRetryMs,
    stopping: 0,
  } as const;
  return { kind: 'postponed', reason, afterMs: afterMs[reason] };
}

import type { CutReason } from './claude-answer.ts';

export interface Deadlines {
  /** From the send to the first event of a stream. */
  readonly firstEventMs: number;
  /** Between two events of a stream; a `ping` is none. */
  readonly progressMs: number;
  /** From the send to the end of the answer. */
  readonly totalMs: number;
}

/**
 * `max_tokens` up to which an answer is waited for in one piece. At the SDK's own estimate (an
 * hour for 128,000 tokens) more than this takes over ten minutes, and idle connections get cut.
 */
export const unstreamedTokensMax = 21_333;
/** The longest that an answer in one piece may take: what the estimate above allows. */
const unstreamedMsMax = 600_000;

/** Where a running call stands. */
export interface CallProgress {
  readonly streamed: boolean;
  readonly sentAtMs: number;
  /** Null until the first event. */
  readonly lastEventAtMs: number | null;
}

/** Streams when someone listens, or the answer may be long. */
export function isStreamed(stream: boolean, maxTokens: unknown): boolean {
  return stream || (typeof maxTokens === 'number' && maxTokens > unstreamedTokensMax);
}

/** The total deadline of a call, in ms from its send. */
export function totalMsOf(streamed: boolean, deadlines: Deadlines): number {
  return streamed ? deadlines.totalMs : Math.min(deadlines.totalMs, unstreamedMsMax);
}

/** @returns the deadline that has passed, or null. */
export function overdue(
  progress: CallProgress,
  deadlines: Deadlines,
  nowMs: number,
): CutReason | null {
  const { streamed, sentAtMs, lastEventAtMs } = progress;
  if (nowMs - sentAtMs >= totalMsOf(streamed, deadlines)) return 'total_timeout';
  if (!streamed) return null;
  if (lastEventAtMs === null) {
    return nowMs - sentAtMs >= deadlines.firstEventMs ? 'first_event_timeout' : null;
  }
  return nowMs - lastEventAtMs >= deadlines.progressMs ? 'progress_timeout' : null;
}

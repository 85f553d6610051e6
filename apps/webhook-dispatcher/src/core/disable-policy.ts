import type { DisabledReason } from '@millrace/contracts';

/**
 * When an endpoint is given up by itself: never on a bare count, since a bad minute of a busy
 * receiver is a thousand failures.
 */
export const disableAfterMs = 120 * 3_600_000;
export const disableFailuresMin = 10;
export const disableSpreadMs = 12 * 3_600_000;
/** Blocked addresses in a row: whoever moved the name means it. */
export const disableBlockedInARow = 3;

/** A lane as its row says after an attempt was settled. */
export interface SettledLane {
  readonly failures: number;
  readonly failingSinceMs: number | null;
  readonly lastSuccessAtMs: number | null;
  readonly blockedInARow: number;
  /** How often its breaker has opened in a row. */
  readonly opened: number;
  readonly isNotified: boolean;
}

/** @returns why the endpoint is to be disabled; null when it is not. */
export function disableReasonOf(lane: SettledLane, nowMs: number): DisabledReason | null {
  if (lane.blockedInARow >= disableBlockedInARow) return 'blocked';
  if (lane.failingSinceMs === null || lane.failures < disableFailuresMin) return null;
  if (nowMs - lane.failingSinceMs < disableSpreadMs) return null;
  const silentSinceMs = lane.lastSuccessAtMs ?? lane.failingSinceMs;
  return nowMs - silentSinceMs >= disableAfterMs ? 'failing' : null;
}

/** Whether its tenant is to be told now that an endpoint fails: once until its next 2xx. */
export function isFailingNews(lane: SettledLane, attempt: { redirected: boolean }): boolean {
  return !lane.isNotified && (attempt.redirected || lane.opened > 0);
}

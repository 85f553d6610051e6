import { assertNever } from '@millrace/contracts';

import { countWindow, emptyWindow, withAttempt, type AttemptWindow } from './attempt-window.ts';
import type { LaneSight } from './lane.ts';
import type { LaneSignal } from './lane-signal.ts';

/**
 * How a lane's attempts change it.
 *
 * H1 A healthy lane that delivers changes nothing: no row of it is written.
 * H2 Counts are told as differences, so that those of several processes add up; what closes a lane
 *    is told as it shall be, and the later end of two holds.
 * H3 While a breaker is open, only its probe decides: what was under way when it opened makes it
 *    neither longer nor shorter.
 */

export const breakerAttemptsMin = 10;
export const breakerFailureShare = 0.7;
export const breakerTimeoutsInARow = 5;
export const breakerOpenMsFirst = 30_000;
export const breakerOpenMsMax = 900_000;
/** Successes that give a halved cap one more. */
export const successesForOneMore = 10;
/** The last success of an endpoint is written down so often: days are judged by it. */
export const successToldEveryMs = 3_600_000;

/** What a process remembers of a lane between two attempts. */
export interface LaneMemory {
  /** Of this process alone: an opened breaker closes the lane for all. */
  readonly window: AttemptWindow;
  readonly cap: number;
  readonly opened: number;
  /** Until when the breaker, as far as this process knows, is open. */
  readonly openUntilMs: number;
  /** When the cap was halved: what began before tells nothing new. */
  readonly halvedAtMs: number;
  readonly successes: number;
  readonly isFailing: boolean;
  readonly timeoutsInARow: number;
  readonly blockedInARow: number;
  readonly lastSuccessAtMs: number | null;
}

/** What the lane's row becomes, beside that its deliveries were settled. */
export interface LaneChange {
  readonly failed: boolean;
  /** A 2xx: whatever was counted since the last one is forgotten. */
  readonly succeeded: boolean;
  readonly timeoutsInARow: 'more' | 'none' | 'same';
  readonly blockedInARow: 'more' | 'none' | 'same';
  readonly close: LaneClosing | null;
  /** How often in a row the breaker has opened; null: as before. */
  readonly opened: number | null;
  /** `full`: what its endpoint allows. */
  readonly cap: number | 'full' | null;
  /** The probe that this was is over. */
  readonly probeEnded: boolean;
  /** Its breaker closes: all may be sent again. */
  readonly reopens: boolean;
}

export interface LaneClosing {
  readonly forMs: number;
  readonly why: 'retry_after' | 'breaker';
}

export interface LaneAttempt {
  readonly beganAtMs: number;
  readonly nowMs: number;
  readonly isProbe: boolean;
  readonly fullCap: number;
  /** Whether it may be disabled, by how long ago its last success was. */
  readonly isEndpoint: boolean;
}

export const unchanged: LaneChange = {
  failed: false,
  succeeded: false,
  timeoutsInARow: 'same',
  blockedInARow: 'same',
  close: null,
  opened: null,
  cap: null,
  probeEnded: false,
  reopens: false,
};

/** What the row said last goes above what was counted here; the window is ours alone. */
export function memoryOf(sight: LaneSight, before: LaneMemory | undefined): LaneMemory {
  return {
    window: before?.window ?? emptyWindow,
    openUntilMs: before?.openUntilMs ?? 0,
    halvedAtMs: before?.halvedAtMs ?? 0,
    successes: before?.successes ?? 0,
    cap: sight.cap,
    opened: sight.opened,
    isFailing: sight.isFailing,
    timeoutsInARow: sight.timeoutsInARow,
    blockedInARow: sight.blockedInARow,
    lastSuccessAtMs: sight.lastSuccessAtMs,
  };
}

interface Turn {
  readonly memory: LaneMemory;
  readonly change: LaneChange | null;
}

/** @param signal null: nothing was sent, or it was our own fault. */
export function laneAfter(
  memory: LaneMemory,
  signal: LaneSignal | null,
  attempt: LaneAttempt,
): Turn {
  const probeEnded = attempt.isProbe;
  if (signal === null) {
    return { memory, change: probeEnded ? { ...unchanged, probeEnded } : null };
  }
  switch (signal.kind) {
    case 'success':
      return afterSuccess(memory, attempt);
    case 'refusal':
      return afterRefusal(memory, attempt);
    case 'not_reached':
      return afterNotReached(memory, attempt);
    case 'failure':
      return afterFailure(memory, signal, attempt);
    default:
      return assertNever(signal);
  }
}

function afterSuccess(memory: LaneMemory, attempt: LaneAttempt): Turn {
  const { isProbe, nowMs } = attempt;
  const grown = grownCap(memory, attempt.fullCap);
  const window = isProbe ? emptyWindow : withAttempt(memory.window, { failed: false, nowMs });
  const next: LaneMemory = {
    ...memory,
    ...grown,
    window,
    ...(isProbe ? { opened: 0, openUntilMs: 0 } : {}),
    isFailing: false,
    timeoutsInARow: 0,
    blockedInARow: 0,
  };
  const isTold = isProbe || memory.isFailing || isLongAgo(memory, attempt);
  if (!isTold && grown.cap === memory.cap) return { memory: next, change: null };
  const cap = grown.cap === memory.cap ? null : capTold(grown.cap, attempt.fullCap);
  const change: LaneChange = {
    ...unchanged,
    succeeded: true,
    timeoutsInARow: 'none',
    blockedInARow: 'none',
    cap,
    ...(isProbe ? { opened: 0, probeEnded: true, reopens: true } : {}),
  };
  return { memory: { ...next, lastSuccessAtMs: nowMs }, change };
}

/** It is there, and answers: that is all a probe wants to know. */
function afterRefusal(memory: LaneMemory, attempt: LaneAttempt): Turn {
  const { isProbe, nowMs } = attempt;
  const hadSome = memory.timeoutsInARow > 0 || memory.blockedInARow > 0;
  const next: LaneMemory = {
    ...memory,
    window: isProbe ? emptyWindow : withAttempt(memory.window, { failed: false, nowMs }),
    ...(isProbe ? { opened: 0, openUntilMs: 0 } : {}),
    timeoutsInARow: 0,
    blockedInARow: 0,
  };
  if (!isProbe && !hadSome) return { memory: next, change: null };
  const change: LaneChange = {
    ...unchanged,
    timeoutsInARow: 'none',
    blockedInARow: 'none',
    ...(isProbe ? { opened: 0, probeEnded: true, reopens: true } : {}),
  };
  return { memory: next, change };
}

function afterFailure(
  memory: LaneMemory,
  signal: Extract<LaneSignal, { kind: 'failure' }>,
  attempt: LaneAttempt,
): Turn {
  const { isProbe, nowMs } = attempt;
  const halved = halvedCap(memory, signal, attempt);
  const counted: LaneMemory = {
    ...memory,
    ...halved,
    window: withAttempt(memory.window, { failed: true, nowMs }),
    isFailing: true,
    timeoutsInARow: signal.timedOut ? memory.timeoutsInARow + 1 : 0,
    blockedInARow: signal.blocked ? memory.blockedInARow + 1 : 0,
  };
  const opening = openingOf(counted, attempt);
  const change: LaneChange = {
    ...unchanged,
    failed: true,
    timeoutsInARow: signal.timedOut ? 'more' : 'none',
    blockedInARow: signal.blocked ? 'more' : 'none',
    close: closingOf(opening?.forMs ?? null, signal.pauseMs),
    opened: opening?.opened ?? null,
    cap: halved.cap === memory.cap ? null : halved.cap,
    probeEnded: isProbe,
  };
  if (opening === null) return { memory: counted, change };
  return { memory: openedBy(opening, counted, nowMs), change };
}

/**
 * Nothing is held against the receiver. But the breaker counts it: what waits loses no attempts to
 * a proxy that is down, nor a probe in a moment's time after every probe.
 */
function afterNotReached(memory: LaneMemory, attempt: LaneAttempt): Turn {
  const { isProbe, nowMs } = attempt;
  const counted = { ...memory, window: withAttempt(memory.window, { failed: true, nowMs }) };
  const opening = openingOf(counted, attempt);
  if (opening === null) return { memory: counted, change: null };
  const change: LaneChange = {
    ...unchanged,
    close: closingOf(opening.forMs, null),
    opened: opening.opened,
    probeEnded: isProbe,
  };
  return { memory: openedBy(opening, counted, nowMs), change };
}

interface Opening {
  readonly forMs: number;
  readonly opened: number;
}

function openedBy({ forMs, opened }: Opening, memory: LaneMemory, nowMs: number): LaneMemory {
  return { ...memory, opened, openUntilMs: nowMs + forMs };
}

/** How long the breaker opens by this failure; null when it does not (H3). */
function openingOf(memory: LaneMemory, { isProbe, nowMs }: LaneAttempt): Opening | null {
  if (!isProbe && (nowMs < memory.openUntilMs || !isBroken(memory, nowMs))) return null;
  const forMs = Math.min(breakerOpenMsFirst * 2 ** memory.opened, breakerOpenMsMax);
  return { forMs, opened: memory.opened + 1 };
}

function isBroken(memory: LaneMemory, nowMs: number): boolean {
  if (memory.timeoutsInARow >= breakerTimeoutsInARow) return true;
  const { attempts, failures } = countWindow(memory.window, nowMs);
  return attempts >= breakerAttemptsMin && failures >= attempts * breakerFailureShare;
}

/** The breaker's word holds above the receiver's, for the longer of both. */
function closingOf(openMs: number | null, pauseMs: number | null): LaneClosing | null {
  if (openMs !== null) return { forMs: Math.max(openMs, pauseMs ?? 0), why: 'breaker' };
  return pauseMs === null ? null : { forMs: pauseMs, why: 'retry_after' };
}

/** Half as many at once, once for all that were under way together. */
function halvedCap(
  memory: LaneMemory,
  { overloaded }: Extract<LaneSignal, { kind: 'failure' }>,
  { beganAtMs, nowMs }: LaneAttempt,
): Pick<LaneMemory, 'cap' | 'successes' | 'halvedAtMs'> {
  const { cap, successes, halvedAtMs } = memory;
  if (!overloaded || beganAtMs <= halvedAtMs) return { cap, successes, halvedAtMs };
  return { cap: Math.max(1, Math.floor(cap / 2)), successes: 0, halvedAtMs: nowMs };
}

function grownCap(
  { cap, successes }: LaneMemory,
  fullCap: number,
): Pick<LaneMemory, 'cap' | 'successes'> {
  if (cap >= fullCap) return { cap, successes: 0 };
  if (successes + 1 < successesForOneMore) return { cap, successes: successes + 1 };
  return { cap: cap + 1, successes: 0 };
}

function capTold(cap: number, fullCap: number): number | 'full' {
  return cap >= fullCap ? 'full' : cap;
}

function isLongAgo({ lastSuccessAtMs }: LaneMemory, attempt: LaneAttempt): boolean {
  if (!attempt.isEndpoint) return false;
  return lastSuccessAtMs === null || attempt.nowMs - lastSuccessAtMs >= successToldEveryMs;
}

import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import {
  claimGapMs,
  claimRowsMax,
  claimRowsWorth,
  ClaimSchedule,
  settledLookMs,
} from './claim-schedule.ts';

const pollEveryMs = 1_000;

/** A schedule whose first claim found nothing, at 0 ms. */
function idle(nextDueInMs: number | null = null): ClaimSchedule {
  const schedule = new ClaimSchedule(pollEveryMs);
  schedule.began(0);
  schedule.answered({ rows: 0, limit: 10, nextDueInMs }, 0);
  return schedule;
}

describe('ClaimSchedule', () => {
  it('claims at once at the start, as much as there are slots', () => {
    expect(new ClaimSchedule(pollEveryMs).next(0, 7)).toEqual({ kind: 'claim', limit: 7 });
    expect(new ClaimSchedule(pollEveryMs).next(0, 9_999)).toEqual({
      kind: 'claim',
      limit: claimRowsMax,
    });
  });

  it('waits without a slot, and while a claim runs (S1)', () => {
    const schedule = new ClaimSchedule(pollEveryMs);
    expect(schedule.next(0, 0)).toEqual({ kind: 'wait' });
    schedule.began(0);
    schedule.woken();
    expect(schedule.next(5, 10)).toEqual({ kind: 'wait' });
  });

  it('goes on claiming while claims come back full', () => {
    const schedule = new ClaimSchedule(pollEveryMs);
    schedule.began(0);
    schedule.answered({ rows: 500, limit: 500, nextDueInMs: null }, 2);
    expect(schedule.backlog).toBe(true);
    expect(schedule.next(2, claimRowsWorth)).toEqual({ kind: 'claim', limit: claimRowsWorth });
    expect(schedule.next(2, 1)).toEqual({ kind: 'at', atMs: claimGapMs });
    expect(schedule.next(claimGapMs, 3)).toEqual({ kind: 'claim', limit: 3 });
  });

  it('counts a wake during a claim for the next one', () => {
    const schedule = new ClaimSchedule(pollEveryMs);
    schedule.began(0);
    schedule.woken();
    schedule.answered({ rows: 0, limit: 10, nextDueInMs: null }, 2);
    expect(schedule.next(claimGapMs, 1)).toEqual({ kind: 'claim', limit: 1 });
  });

  it('looks again when the earliest row falls due, else at the next poll (S3)', () => {
    expect(idle(400).next(1, 10)).toEqual({ kind: 'at', atMs: 400 });
    expect(idle(null).next(1, 10)).toEqual({ kind: 'at', atMs: pollEveryMs });
    expect(idle(60_000).next(1, 10)).toEqual({ kind: 'at', atMs: pollEveryMs });
  });

  it('looks soon after a row was settled, once for many (S3)', () => {
    const schedule = idle();
    schedule.settled(20);
    schedule.settled(90);
    expect(schedule.next(90, 10)).toEqual({ kind: 'at', atMs: 20 + settledLookMs });
  });

  it('backs off after failures, whatever wakes it (S4)', () => {
    const schedule = idle();
    schedule.began(1_000);
    schedule.failed(1_000, 0.999);
    schedule.woken();
    expect(schedule.next(1_001, 500)).toMatchObject({ kind: 'at' });
    expect(schedule.next(1_100, 500)).toMatchObject({ kind: 'claim' });
    schedule.began(1_100);
    schedule.failed(1_100, 0.999);
    expect(schedule.next(1_200, 500)).toMatchObject({ kind: 'at' });
    expect(schedule.next(1_300, 500)).toMatchObject({ kind: 'claim' });
  });

  it('against a table of rows: loses none, and is never far behind', () => {
    const arrivals = fc.array(
      fc.record({ atMs: fc.integer({ min: 0, max: 5_000 }), delayMs: fc.nat(3_000) }),
      { maxLength: 300 },
    );
    const slots = fc.integer({ min: 1, max: 1_500 });
    fc.assert(
      fc.property(arrivals, slots, (rows, slotsMax) => {
        for (const { dueAtMs, startedAtMs, freeSinceMs } of simulate(rows, slotsMax)) {
          const possibleAtMs = Math.max(dueAtMs, freeSinceMs);
          expect(startedAtMs).toBeGreaterThanOrEqual(dueAtMs);
          expect(startedAtMs - possibleAtMs).toBeLessThanOrEqual(2 * claimGapMs + claimMs + 1);
        }
      }),
      { numRuns: 30 },
    );
  });
});

const claimMs = 3;
const runMs = 50;

interface Started {
  readonly dueAtMs: number;
  readonly startedAtMs: number;
  /** When a slot had last become free before the start. */
  readonly freeSinceMs: number;
}

/**
 * A model of queue and table in steps of 1 ms: rows arrive with a wake, become claimable at their
 * due time, are claimed by a statement of 3 ms and run for 50 ms.
 */
function simulate(
  arrivals: readonly { atMs: number; delayMs: number }[],
  slotsMax: number,
): readonly Started[] {
  const schedule = new ClaimSchedule(pollEveryMs);
  const started: Started[] = [];
  let waiting: number[] = [];
  let ends: number[] = [];
  let freeSinceMs = 0;
  let claim: { answersAtMs: number; limit: number; due: number[] } | null = null;
  for (let nowMs = 0; nowMs < 20_000; nowMs += 1) {
    const come = arrivals.filter(({ atMs }) => atMs === nowMs);
    waiting.push(...come.map(({ atMs, delayMs }) => atMs + delayMs));
    if (come.length > 0) schedule.woken();
    const ended = ends.filter((endMs) => endMs <= nowMs);
    ends = ends.filter((endMs) => endMs > nowMs);
    for (const endMs of ended) schedule.settled(endMs);
    if (ended.length > 0) freeSinceMs = nowMs;
    if (claim !== null && claim.answersAtMs === nowMs) {
      const { due, limit } = claim;
      claim = null;
      const next = waiting.length === 0 ? null : Math.max(0, Math.min(...waiting) - nowMs);
      schedule.answered({ rows: due.length, limit, nextDueInMs: next }, nowMs);
      ends.push(...due.map(() => nowMs + runMs));
      started.push(...due.map((dueAtMs) => ({ dueAtMs, startedAtMs: nowMs, freeSinceMs })));
    }
    const next = schedule.next(nowMs, slotsMax - ends.length - (claim?.limit ?? 0));
    if (next.kind !== 'claim') continue;
    expect(claim).toBeNull();
    expect(next.limit).toBeLessThanOrEqual(slotsMax - ends.length);
    schedule.began(nowMs);
    const due = waiting.filter((dueAtMs) => dueAtMs <= nowMs).slice(0, next.limit);
    waiting = waiting.filter((dueAtMs) => !due.includes(dueAtMs));
    claim = { answersAtMs: nowMs + claimMs, limit: next.limit, due };
  }
  expect(started).toHaveLength(arrivals.length);
  return started;
}

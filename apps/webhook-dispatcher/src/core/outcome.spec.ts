import { describe, expect, it } from '@jest/globals';
import type { FailureClass, PostResult } from '@millrace/egress';
import fc from 'fast-check';

import {
  deliveryAgeMsMax,
  outcomeOf,
  overloadRetryMsMinDefault,
  postponed,
  type AttemptContext,
} from './outcome.ts';
import { retryDelayMs, retryScheduleMsDefault, scheduleMsMax } from './retry-schedule.ts';

const nowMs = Date.UTC(2026, 10, 23, 12);
const timings = { totalMs: 12 };

function context(changes: Partial<AttemptContext> = {}): AttemptContext {
  return {
    attemptsMade: 0,
    createdAtMs: nowMs,
    nowMs,
    random: 0.5,
    retry: {
      scheduleMs: retryScheduleMsDefault,
      overloadRetryMsMin: overloadRetryMsMinDefault,
    },
    isEndpoint: false,
    ...changes,
  };
}

function answered(status: number, headers: Record<string, string> = {}): PostResult {
  return { kind: 'response', status, headers, bodyExcerpt: Buffer.from('x'), timings };
}

function failed(failure: FailureClass): PostResult {
  return { kind: 'failed', class: failure, timings };
}

describe('outcomeOf', () => {
  it.each([200, 201, 202, 204, 299])('takes %d for delivered', (status) => {
    expect(outcomeOf(answered(status), context())).toMatchObject({
      kind: 'delivered',
      attempt: { status, class: null },
    });
  });

  it.each([
    [answered(410), 'client_error'],
    [answered(500, { 'webhook-delivery': 'disable' }), 'server_error'],
    [answered(400, { 'webhook-delivery': 'Abort-Message' }), 'client_error'],
  ])('stops when the receiver says so (%#)', (result, expected) => {
    expect(outcomeOf(result, context())).toMatchObject({
      kind: 'stopped',
      attempt: { class: expected },
    });
  });

  it.each([
    [answered(410), 'gone'],
    [answered(200, { 'webhook-delivery': 'disable' }), null],
    [answered(500, { 'webhook-delivery': 'disable' }), 'requested'],
  ])('keeps for an endpoint that is to be disabled what it did not take (%#)', (result, reason) => {
    const outcome = outcomeOf(result, context({ isEndpoint: true }));
    expect(outcome).toMatchObject(
      reason === null ? { kind: 'delivered', disables: true } : { kind: 'skipped', reason },
    );
  });

  it('disables no callback: another job of the same origin may have another receiver', () => {
    const wish = answered(200, { 'webhook-delivery': 'disable' });
    expect(outcomeOf(wish, context())).toMatchObject({ kind: 'delivered', disables: false });
  });

  it.each([
    [answered(301), 5_000],
    [answered(302), 5_000],
    [answered(304), 5_000],
    [answered(400), 5_000],
    [answered(401), 5_000],
    [answered(404), 5_000],
    [answered(500), 5_000],
    [answered(501), 5_000],
    [answered(500, { 'retry-after': '600' }), 5_000],
    [answered(500, { 'webhook-delivery': 'unknown-wish' }), 5_000],
    [failed('dns'), 5_000],
    [failed('refused'), 5_000],
    [failed('unreachable'), 5_000],
    [failed('reset'), 5_000],
    [failed('tls'), 5_000],
    [failed('protocol'), 5_000],
    [failed('proxy'), 5_000],
    [failed('other'), 5_000],
    [failed('timeout'), 60_000],
    [answered(408), 60_000],
    [answered(425), 60_000],
    [answered(429), 60_000],
    [answered(502), 60_000],
    [answered(503), 60_000],
    [answered(504), 60_000],
    [answered(503, { 'retry-after': 'soon' }), 60_000],
    // Obeyed, but never faster than the schedule.
    [answered(429, { 'retry-after': '1' }), 5_000],
    [answered(429, { 'retry-after': '20' }), 20_000],
    [answered(503, { 'retry-after': '600' }), 600_000],
    [answered(503, { 'retry-after': '999999' }), 3_600_000],
    [answered(503, { 'retry-after': new Date(nowMs + 90_000).toUTCString() }), 90_000],
  ])('tries %j again after %d ms', (result, afterMs) => {
    expect(outcomeOf(result, context())).toMatchObject({ kind: 'retry', afterMs });
  });

  it('gives a blocked address up at once', () => {
    const blocked = { kind: 'blocked', reason: 'private', timings } as const;
    expect(outcomeOf(blocked, context())).toMatchObject({
      kind: 'dead',
      code: 'blocked_address',
      attempt: { class: 'blocked', status: null },
    });
  });

  it('gives up when the schedule is used up, and not before', () => {
    const last = retryScheduleMsDefault.length - 1;
    expect(outcomeOf(answered(500), context({ attemptsMade: last - 1 })).kind).toBe('retry');
    expect(outcomeOf(answered(500), context({ attemptsMade: last }))).toMatchObject({
      kind: 'dead',
      code: 'delivery_exhausted',
    });
  });

  it('counts no attempt for a fault of our own', () => {
    expect(outcomeOf(failed('local'), context())).toMatchObject({ reason: 'own_fault' });
    expect(outcomeOf(failed('aborted'), context())).toMatchObject({ reason: 'stopping' });
  });

  it('ends a delivery that was put off for a week', () => {
    const createdAtMs = nowMs - deliveryAgeMsMax - 1;
    expect(postponed('tenant_unknown', { createdAtMs, nowMs })).toMatchObject({ kind: 'dead' });
    expect(postponed('tenant_unknown', { createdAtMs: nowMs, nowMs }).kind).toBe('postponed');
  });

  it('has an answer to every status, and only 2xx delivers', () => {
    fc.assert(
      fc.property(fc.integer({ min: 200, max: 599 }), fc.nat(20), (status, attemptsMade) => {
        const outcome = outcomeOf(answered(status), context({ attemptsMade }));
        expect(outcome.kind === 'delivered').toBe(status < 300);
        if (outcome.kind === 'retry') expect(outcome.afterMs).toBeGreaterThan(0);
      }),
    );
  });
});

describe('the retry schedule', () => {
  it('is spread over ±20 %', () => {
    const randoms = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    fc.assert(
      fc.property(fc.nat(9), randoms, (attempt, random) => {
        const delayMs = retryDelayMs(retryScheduleMsDefault, attempt, random);
        const plannedMs = retryScheduleMsDefault[attempt] ?? Number.NaN;
        expect(delayMs).toBeGreaterThanOrEqual(plannedMs * 0.8);
        expect(delayMs).toBeLessThanOrEqual(plannedMs * 1.2);
      }),
    );
  });

  it('has ten attempts within its bounds', () => {
    expect(retryScheduleMsDefault).toHaveLength(10);
    expect(retryScheduleMsDefault.reduce((a, b) => a + b) * 1.2).toBeLessThan(scheduleMsMax);
    expect(retryDelayMs(retryScheduleMsDefault, 10, 0)).toBeNull();
  });
});

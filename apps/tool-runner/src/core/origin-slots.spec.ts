import { describe, expect, it } from '@jest/globals';

import { OriginSlots } from './origin-slots.ts';

const limits = { inFlightMax: 2, inFlightLivelyMax: 4, livelyMs: 1_000 };
const one = { tenant: 'default', origin: 'https://one.example' };
const other = { tenant: 'default', origin: 'https://other.example' };
const nowMs = 10_000;
const answer = { answered: true, nowMs };
const timeout = { answered: false, nowMs };

describe('OriginSlots', () => {
  it('plans no more for an origin than it has room for', () => {
    const slots = new OriginSlots(limits);
    slots.take(one);
    const plan = slots.plan(nowMs);
    expect([plan.take(one), plan.take(one)]).toEqual([true, false]);
    expect([plan.take(other), plan.take(other), plan.take(other)]).toEqual([true, true, false]);
    expect(plan.take({ ...one, tenant: 'acme' })).toBe(true);
    expect(slots.busy(nowMs)).toEqual([{ ...one, room: 1 }]);
  });

  it('gives an origin that has just answered more, and takes it back when it hangs', () => {
    const slots = new OriginSlots(limits);
    slots.take(one);
    slots.take(one);
    slots.release(one, answer);
    expect(slots.busy(nowMs)).toEqual([{ ...one, room: 3 }]);
    expect(slots.busy(nowMs + limits.livelyMs + 1)).toEqual([{ ...one, room: 1 }]);
  });

  it('gives one that only times out nothing more', () => {
    const slots = new OriginSlots(limits);
    slots.take(one);
    slots.take(one);
    slots.release(one, timeout);
    expect(slots.busy(nowMs)).toEqual([{ ...one, room: 1 }]);
  });

  it('tells when a full origin has room again, and forgets an idle one', () => {
    const slots = new OriginSlots(limits);
    slots.take(one);
    slots.take(one);
    expect(slots.release(one, timeout)).toBe(true);
    expect(slots.release(one, timeout)).toBe(false);
    expect(slots.busy(nowMs)).toEqual([]);
  });
});

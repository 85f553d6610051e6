import { describe, expect, it } from '@jest/globals';

import { originOf } from './delivery.ts';
import { OriginSlots } from './origin-slots.ts';

const one = { tenant: 'default', origin: 'https://one.example' };
const other = { tenant: 'default', origin: 'https://other.example' };

describe('OriginSlots', () => {
  it('plans no more for an origin than it has room for', () => {
    const slots = new OriginSlots(2);
    slots.take(one);
    const plan = slots.plan();
    expect([plan.take(one), plan.take(one)]).toEqual([true, false]);
    expect([plan.take(other), plan.take(other), plan.take(other)]).toEqual([true, true, false]);
    expect(plan.take({ ...one, tenant: 'acme' })).toBe(true);
    expect(slots.busy()).toEqual([{ ...one, inFlight: 1 }]);
  });

  it('tells when a full origin has room again, and forgets an idle one', () => {
    const slots = new OriginSlots(2);
    slots.take(one);
    slots.take(one);
    expect(slots.release(one)).toBe(true);
    expect(slots.release(one)).toBe(false);
    expect(slots.busy()).toEqual([]);
  });
});

describe('originOf', () => {
  it.each([
    ['https://EXAMPLE.com:443/a?b', 'https://example.com'],
    ['http://127.0.0.1:8091/a', 'http://127.0.0.1:8091'],
    ['nonsense', 'unreadable'],
  ])('of %s is %s', (url, origin) => {
    expect(originOf(url)).toBe(origin);
  });
});

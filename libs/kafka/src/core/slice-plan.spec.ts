import { describe, expect, it } from '@jest/globals';

import type { BadRecord } from './decode.ts';
import { planSlice } from './slice-plan.ts';
import type { ReadResult } from './slice-plan.ts';

const good = (record: number): ReadResult<number, number> => ({ kind: 'good', record });
const bad = (record: number, code: BadRecord['code']): ReadResult<number, number> => ({
  kind: 'bad',
  record,
  bad: { kind: 'bad', code, detail: '' },
});

describe('what becomes of the records of a slice', () => {
  it('on a public topic: bad ones are put aside, all others are handled', () => {
    const topic = { direction: 'public-out' as const, deadLetters: true };
    const plan = planSlice(topic, [good(1), bad(2, 'unknown_type'), bad(3, 'not_utf8'), good(4)]);
    expect(plan.good).toEqual([1, 4]);
    expect(plan.dead.map(({ record }) => record)).toEqual([2, 3]);
    expect(plan.parkAt).toBeUndefined();
  });

  it('on an internal topic: an unknown type stops everything behind it', () => {
    const topic = { direction: 'internal' as const, deadLetters: true };
    const plan = planSlice(topic, [
      good(1),
      bad(2, 'invalid_request'),
      bad(3, 'unknown_type'),
      good(4),
    ]);
    expect(plan.good).toEqual([1]);
    expect(plan.dead.map(({ record }) => record)).toEqual([2]);
    expect(plan.parkAt?.record).toBe(3);
  });

  it('without a dead letter topic: every bad record stops', () => {
    const topic = { direction: 'internal' as const, deadLetters: false };
    expect(planSlice(topic, [good(1), bad(2, 'not_utf8'), good(3)])).toMatchObject({
      good: [1],
      dead: [],
      parkAt: { record: 2 },
    });
  });
});

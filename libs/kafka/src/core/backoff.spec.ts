import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { backoffMs, backoffMsMax, backoffMsMin } from './backoff.ts';

describe('the wait before another attempt', () => {
  it.each([
    [1, 50, 100],
    [2, 100, 200],
    [3, 200, 400],
    [6, 1600, 3200],
    [7, 2500, 5000],
    [1000, 2500, 5000],
  ])('after %i attempts is between %i and %i ms', (attempt, low, high) => {
    expect(backoffMs(attempt, 0)).toBe(low);
    expect(backoffMs(attempt, 0.999_999)).toBe(high);
  });

  it('never leaves its bounds', () => {
    fc.assert(
      fc.property(fc.integer(), fc.double({ min: 0, max: 1, noNaN: true }), (attempt, random) => {
        const ms = backoffMs(attempt, random);
        expect(ms).toBeGreaterThanOrEqual(backoffMsMin / 2);
        expect(ms).toBeLessThanOrEqual(backoffMsMax);
      }),
    );
  });
});

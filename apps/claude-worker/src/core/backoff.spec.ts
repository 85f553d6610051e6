import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { backoffMs, retriesMax } from './backoff.ts';

describe('the backoff', () => {
  it('is 1, 2, 4, 8 and 16 s', () => {
    const delays = [1, 2, 3, 4, 5].map((failures) => backoffMs(failures, 0, 1_000));
    expect(delays).toEqual([1_000, 2_000, 4_000, 8_000, 16_000]);
    expect(delays).toHaveLength(retriesMax);
  });

  it('has jitter of up to a quarter, never less than the delay', () => {
    const failures = fc.integer({ min: 1, max: 100 });
    const random = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(failures, random, fc.integer({ min: 1, max: 5_000 }), (n, r, baseMs) => {
        const delayMs = backoffMs(n, r, baseMs);
        const plainMs = baseMs * 2 ** (Math.min(n, retriesMax) - 1);
        expect(delayMs).toBeGreaterThanOrEqual(plainMs);
        expect(delayMs).toBeLessThanOrEqual(Math.round(plainMs * 1.25));
      }),
    );
  });
});

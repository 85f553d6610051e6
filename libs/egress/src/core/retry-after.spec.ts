import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { parseRetryAfter, retryAfterMsMax, retryAfterMsMin } from './retry-after.ts';

const nowMs = Date.UTC(2026, 10, 23, 12);

describe('parseRetryAfter', () => {
  it.each([
    [undefined, null],
    ['', null],
    ['soon', null],
    ['-5', null],
    ['1.5', null],
    ['5 seconds', null],
    ['0', retryAfterMsMin],
    ['1', 1_000],
    [' 120 ', 120_000],
    ['3601', retryAfterMsMax],
    ['99999999999999999999', null],
    ['Mon, 23 Nov 2026 12:02:00 GMT', 120_000],
    ['Monday, 23-Nov-26 12:02:00 GMT', 120_000],
    ['Mon, 23 Nov 2026 11:00:00 GMT', retryAfterMsMin],
    ['Mon, 23 Nov 2099 11:00:00 GMT', retryAfterMsMax],
  ])('reads %j as %p', (text, expected) => {
    expect(parseRetryAfter(text, nowMs)).toBe(expected);
  });

  it('stays within its bounds whatever a receiver sends', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.integer().map(String)), (text) => {
        const ms = parseRetryAfter(text, nowMs);
        if (ms === null) return;
        expect(ms).toBeGreaterThanOrEqual(retryAfterMsMin);
        expect(ms).toBeLessThanOrEqual(retryAfterMsMax);
      }),
    );
  });
});

import { describe, expect, it } from '@jest/globals';

import { retryAfterMsMax, retryAfterMsOf } from './retry-after.ts';

describe('retry-after', () => {
  const nowMs = Date.parse('2026-11-23T10:00:00Z');

  it.each([
    [null, null],
    ['', null],
    ['soon', null],
    ['-3', null],
    ['0', 0],
    ['7', 7_000],
    ['0.2', 200],
    ['1e300', retryAfterMsMax],
    ['Mon, 23 Nov 2099 10:00:00 GMT', retryAfterMsMax],
    ['Mon, 23 Nov 2026 10:00:05 GMT', 5_000],
    ['Mon, 23 Nov 2026 09:00:00 GMT', 0],
  ])('%p asks for %p ms', (header, ms) => {
    expect(retryAfterMsOf(header, nowMs)).toBe(ms);
  });
});

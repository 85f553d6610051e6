import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { republishInMs, republishTimesMax, silenceTimesDefault } from './silence.ts';

const minuteMs = 60_000;

describe('a silent job', () => {
  it.each([
    [0, 10],
    [1, 20],
    [2, 40],
    [3, 60],
    [4, 60],
    [republishTimesMax, 60],
  ])('that was published again %i times is so again after %i minutes', (times, minutes) => {
    expect(republishInMs(times, silenceTimesDefault)).toBe(minutes * minuteMs);
  });

  it('is never asked for more often than before', () => {
    fc.assert(
      fc.property(fc.nat({ max: 2_000 }), (times) => {
        const now = republishInMs(times, silenceTimesDefault);
        expect(republishInMs(times + 1, silenceTimesDefault)).toBeGreaterThanOrEqual(now);
      }),
    );
  });
});

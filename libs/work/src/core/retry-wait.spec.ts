import { describe, expect, it } from '@jest/globals';

import { retryWaitMs } from './retry-wait.ts';

describe('retryWaitMs', () => {
  it.each([
    [1, 0, 25],
    [1, 1, 50],
    [3, 1, 200],
    [20, 0, 500],
    [20, 1, 1_000],
  ])('repetition %i with jitter %d waits %i ms', (repetition, random, waitMs) => {
    expect(retryWaitMs(repetition, random)).toBe(waitMs);
  });
});

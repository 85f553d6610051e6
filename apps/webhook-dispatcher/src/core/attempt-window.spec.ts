import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { countWindow, emptyWindow, windowMs, withAttempt } from './attempt-window.ts';

const beganAtMs = Date.UTC(2026, 10, 23, 12);
/** The window forgets a whole bucket at a time. */
const bucketMs = 30_000;

describe('the window of attempts', () => {
  it('counts what was within five minutes, a bucket less at most, and nothing older', () => {
    const steps = fc.array(
      fc.record({ afterMs: fc.nat(90_000), failed: fc.boolean() }),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(steps, (given) => {
        let window = emptyWindow;
        let nowMs = beganAtMs;
        const attempts = given.map(({ afterMs, failed }) => {
          nowMs += afterMs;
          window = withAttempt(window, { failed, nowMs });
          return { nowMs, failed };
        });
        const within = (ms: number) => attempts.filter((each) => each.nowMs > nowMs - ms);
        const counted = countWindow(window, nowMs);
        expect(counted.attempts).toBeLessThanOrEqual(within(windowMs).length);
        expect(counted.attempts).toBeGreaterThanOrEqual(within(windowMs - bucketMs).length);
        const failed = (ms: number) => within(ms).filter((each) => each.failed).length;
        expect(counted.failures).toBeLessThanOrEqual(failed(windowMs));
        expect(counted.failures).toBeGreaterThanOrEqual(failed(windowMs - bucketMs));
        expect(window.length).toBeLessThanOrEqual(windowMs / bucketMs + 1);
      }),
    );
  });
});

import { describe, expect, it } from '@jest/globals';
import { completeAheadMsMax, runAheadMsMax } from '@millrace/contracts';
import fc from 'fast-check';

import { disorderOf, mustWait, timesOf, untimelinessOf, type JobTimes } from './job-times.ts';

const now = new Date('2026-11-24T10:00:00Z');
const at = (ms: number): Date => new Date(now.getTime() + ms);

function times(runInMs: number | null, completeInMs: number | null): JobTimes {
  return {
    runAt: runInMs === null ? undefined : at(runInMs),
    completeBy: completeInMs === null ? undefined : at(completeInMs),
  };
}

describe('the times of a submission', () => {
  it('are moments, however they are written', () => {
    const read = timesOf({ run_at: '2026-11-24T11:00:00+01:00' });
    expect(read).toEqual({ runAt: now, completeBy: undefined });
  });

  it.each([
    ['neither', null, null, true],
    ['run_at alone', 5, null, true],
    ['complete_by alone, even passed', null, -5, true],
    ['complete_by after run_at', 5, 6, true],
    ['both at once', 5, 5, false],
    ['complete_by before run_at', 5, 4, false],
  ])('must not contradict each other: %s', (_what, run, complete, good) => {
    const found = disorderOf(times(run, complete));
    expect(found === null).toBe(good);
    if (found !== null) expect(found.errors).toMatchObject([{ path: 'complete_by' }]);
  });

  it.each([
    ['nothing to wait for', null, null, null],
    ['a run_at that has passed', -completeAheadMsMax, null, null],
    ['the last run_at', runAheadMsMax, null, null],
    ['a run_at too far ahead', runAheadMsMax + 1, null, 'run_at'],
    ['the next millisecond to complete', null, 1, null],
    ['a complete_by that is now', null, 0, 'complete_by'],
    ['a complete_by that has passed', null, -1, 'complete_by'],
    ['the last complete_by', null, completeAheadMsMax, null],
    ['a complete_by too far ahead', null, completeAheadMsMax + 1, 'complete_by'],
  ])('are accepted within their limits: %s', (_what, run, complete, path) => {
    const found = untimelinessOf(times(run, complete), now);
    expect(found?.errors[0]?.path ?? null).toBe(path);
    if (found !== null) expect(found.code).toBe('invalid_request');
  });

  it('let a job wait only for what is ahead', () => {
    fc.assert(
      fc.property(fc.integer({ min: -1_000, max: 1_000 }), (ms) => {
        expect(mustWait(times(ms, null), now)).toBe(ms > 0);
      }),
    );
    expect(mustWait(times(null, 5), now)).toBe(false);
  });
});

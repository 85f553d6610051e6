import { describe, expect, it } from '@jest/globals';

import { isStreamed, overdue, totalMsOf, unstreamedTokensMax } from './deadlines.ts';

const deadlines = { firstEventMs: 100, progressMs: 50, totalMs: 1_000 };

describe('the deadlines', () => {
  it.each([
    ['before the first event', true, null, 99, null],
    ['no first event', true, null, 100, 'first_event_timeout'],
    ['events come', true, 800, 849, null],
    ['events stop', true, 800, 850, 'progress_timeout'],
    ['events never end', true, 999, 1_000, 'total_timeout'],
    ['a whole answer takes its time', false, null, 999, null],
    ['no whole answer', false, null, 1_000, 'total_timeout'],
  ])('%s', (_, streamed, lastEventAtMs, nowMs, reason) => {
    const progress = { streamed, sentAtMs: 0, lastEventAtMs };
    expect(overdue(progress, deadlines, nowMs)).toBe(reason);
  });

  it('streams for a listener, and what may be long', () => {
    expect(isStreamed(true, 10)).toBe(true);
    expect(isStreamed(false, unstreamedTokensMax)).toBe(false);
    expect(isStreamed(false, unstreamedTokensMax + 1)).toBe(true);
    expect(isStreamed(false, undefined)).toBe(false);
  });

  it('never waits longer than ten minutes for an answer in one piece', () => {
    const long = { ...deadlines, totalMs: 3_600_000 };
    expect(totalMsOf(true, long)).toBe(3_600_000);
    expect(totalMsOf(false, long)).toBe(600_000);
  });
});

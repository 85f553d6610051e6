import { describe, expect, it } from '@jest/globals';

import { disableReasonOf, isFailingNews, type SettledLane } from './disable-policy.ts';

const nowMs = Date.UTC(2026, 10, 23, 12);
const hourMs = 3_600_000;

/** One that is past every bound; each row of the table takes one of them back. */
const hopeless: SettledLane = {
  failures: 10,
  failingSinceMs: nowMs - 120 * hourMs,
  lastSuccessAtMs: nowMs - 121 * hourMs,
  blockedInARow: 0,
  opened: 6,
  isNotified: true,
};

describe('an endpoint', () => {
  it.each<[string, Partial<SettledLane>, string | null]>([
    ['five days without a 2xx and ten failures', {}, 'failing'],
    ['nine failures', { failures: 9 }, null],
    [
      'a million failures within eleven hours',
      { failures: 1e6, failingSinceMs: nowMs - 11 * hourMs },
      null,
    ],
    [
      'failures for half a day after five idle days',
      { failingSinceMs: nowMs - 12 * hourMs },
      'failing',
    ],
    ['a success 119 hours ago', { lastSuccessAtMs: nowMs - 119 * hourMs }, null],
    ['never a success, and failures for 120 hours', { lastSuccessAtMs: null }, 'failing'],
    [
      'never a success, and failures for 119 hours',
      { lastSuccessAtMs: null, failingSinceMs: nowMs - 119 * hourMs },
      null,
    ],
    ['no failure since the last success', { failingSinceMs: null }, null],
    ['three blocked addresses in a row', { failures: 3, blockedInARow: 3 }, 'blocked'],
    ['two blocked addresses in a row', { failures: 2, blockedInARow: 2 }, null],
  ])('with %s', (_, changes, reason) => {
    expect(disableReasonOf({ ...hopeless, ...changes }, nowMs)).toBe(reason);
  });

  it('is told to fail when its breaker opens or it redirects, once', () => {
    const lane = { ...hopeless, isNotified: false, opened: 0 };
    expect(isFailingNews(lane, { redirected: false })).toBe(false);
    expect(isFailingNews(lane, { redirected: true })).toBe(true);
    expect(isFailingNews({ ...lane, opened: 1 }, { redirected: false })).toBe(true);
    expect(isFailingNews({ ...lane, isNotified: true }, { redirected: true })).toBe(false);
  });
});

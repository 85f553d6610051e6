import { describe, expect, it } from '@jest/globals';

import { retryAfterMs } from './outcome.ts';

const failure = {
  kind: 'failure',
  failure: { code: 'tool_failed', detail: 'x' },
  transient: true,
  class: '500',
} as const;
const context = {
  attempts: 0,
  retries: 2,
  baseMs: 1_000,
  random: 0.5,
  leftMs: null,
};

describe('the wait before the next attempt', () => {
  it('doubles, and ends with a minute', () => {
    const waits = [0, 1, 2, 9].map((attempts) =>
      retryAfterMs(failure, { ...context, attempts, retries: 10 }),
    );
    expect(waits).toEqual([1_000, 2_000, 4_000, 60_000]);
  });

  it('is what the server asks for, when that is longer', () => {
    expect(retryAfterMs({ ...failure, retryAfterMs: 5_000 }, context)).toBe(5_000);
    expect(retryAfterMs({ ...failure, retryAfterMs: 1 }, context)).toBe(1_000);
  });

  it.each([
    ['no attempt is left', failure, { attempts: 2 }],
    ['the failure is for good', { ...failure, transient: false }, {}],
    ['the run would be over by then', failure, { leftMs: 1_000 }],
  ])('is none when %s', (_, result, fields) => {
    expect(retryAfterMs(result, { ...context, ...fields })).toBeNull();
  });
});

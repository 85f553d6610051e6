import { describe, expect, it } from '@jest/globals';

import { daysAround, jobDayOf } from './job-day.ts';

describe('the day of a job', () => {
  it('is the UTC day of its acceptance', () => {
    expect(jobDayOf('2026-03-31T23:59:59.999Z')).toBe('2026-03-31');
  });

  it.each([
    [['2026-03-31'], ['2026-03-31', '2026-03-31']],
    [
      ['2026-04-01', '2026-03-30', '2026-03-31'],
      ['2026-03-30', '2026-04-01'],
    ],
    [[], ['1970-01-01', '1970-01-01']],
  ])('days %j lie within %j', (days, around) => {
    expect(daysAround(days)).toEqual(around);
  });
});

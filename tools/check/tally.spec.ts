import { describe, expect, it } from '@jest/globals';

import { nothing, one, sum, summaryLine, tallyOf } from './tally.mjs';

const report = {
  numPassedTests: 2,
  numFailedTests: 1,
  numRuntimeErrorTestSuites: 1,
  testResults: [
    {
      message: '',
      assertionResults: [
        { status: 'passed', fullName: 'a' },
        { status: 'passed', fullName: 'b' },
        { status: 'failed', fullName: 'c' },
        { status: 'pending', fullName: 'd' },
        { status: 'todo', fullName: 'e' },
      ],
    },
    { message: 'cannot find module', assertionResults: [] },
  ],
};

describe('the tally of a test run', () => {
  it('counts a suite that did not load as a failure', () => {
    expect(tallyOf(report, () => '').failed).toBe(2);
  });

  it('names what was skipped, with the reason', () => {
    expect(tallyOf(report, (name) => `because of ${name}`).skipped).toEqual([
      { name: 'd', reason: 'because of d' },
      { name: 'e', reason: 'because of e' },
    ]);
  });

  it('sums what ran into one line', () => {
    const all = sum([one(true), one(false), tallyOf(report, () => ''), nothing]);
    expect(summaryLine(all)).toBe('3 passed, 3 failed, 2 skipped');
  });
});

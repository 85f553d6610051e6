/**
 * @typedef {{ name: string, reason: string }} Skipped
 * @typedef {{ passed: number, failed: number, skipped: readonly Skipped[] }} Tally
 * @typedef {{ status: string, fullName: string }} Assertion
 * @typedef {{ message: string, assertionResults: readonly Assertion[] }} SuiteResult
 * @typedef {object} JestReport what jest writes with `--json`, as far as it is read here
 * @property {number} numPassedTests
 * @property {number} numFailedTests
 * @property {number} numRuntimeErrorTestSuites suites that did not even load
 * @property {readonly SuiteResult[]} testResults
 */

/** @type {Tally} */
export const nothing = { passed: 0, failed: 0, skipped: [] };

/** @param {boolean} good @returns {Tally} a stage that counts as one test */
export const one = (good) => ({ passed: good ? 1 : 0, failed: good ? 0 : 1, skipped: [] });

/**
 * @param {JestReport} report
 * @param {(name: string) => string} reasonOf why a test was skipped
 * @returns {Tally}
 */
export function tallyOf(report, reasonOf) {
  const skipped = report.testResults
    .flatMap((suite) => suite.assertionResults)
    .filter(({ status }) => status !== 'passed' && status !== 'failed')
    .map(({ fullName }) => ({ name: fullName, reason: reasonOf(fullName) }));
  return {
    passed: report.numPassedTests,
    // A suite that fails to load has tests that nobody counted: it is one failure at least.
    failed: report.numFailedTests + report.numRuntimeErrorTestSuites,
    skipped,
  };
}

/** @param {readonly Tally[]} tallies @returns {Tally} */
export function sum(tallies) {
  return tallies.reduce(
    (all, each) => ({
      passed: all.passed + each.passed,
      failed: all.failed + each.failed,
      skipped: [...all.skipped, ...each.skipped],
    }),
    nothing,
  );
}

/** @param {Tally} tally @returns {string} the one line that a test run ends with */
export function summaryLine({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed, ${skipped.length} skipped`;
}

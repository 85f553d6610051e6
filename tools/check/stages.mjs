/** What a test run consists of, in order. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { runChild } from './run-child.mjs';
import { nothing, one, tallyOf } from './tally.mjs';

const minuteMs = 60_000;
/** Lines of a failed command that are shown when it says no better what went wrong. */
const outputLinesMax = 80;

/**
 * @typedef {import('./tally.mjs').Tally} Tally
 * @typedef {object} Run
 * @property {AbortSignal} signal
 * @property {(detail: string) => void} update says how far the stage is
 * @property {readonly string[]} patterns files that the caller limits the run to
 * @property {(name: string) => string} reasonOf why a test was skipped
 * @typedef {{ tally: Tally, log: string, said?: readonly string[] }} StageResult `log` tells what
 *   failed, `said` what specs have for the reader (lines that begin with ›)
 * @typedef {{ name: string, label: string, run: (run: Run) => Promise<StageResult> }} Stage
 */

const node = process.execPath;
const bin = (/** @type {string} */ name) => join('node_modules', '.bin', name);

/** @type {readonly Stage[]} */
export const stages = [
  { name: 'lint', label: 'lint and boundaries', run: lint },
  { name: 'types', label: 'types', run: types },
  { name: 'rules', label: 'repo rules', run: rules },
  { name: 'unit', label: 'unit', run: unit },
  { name: 'integration', label: 'integration', run: integration },
  { name: 'e2e', label: 'end to end', run: endToEnd },
  { name: 'bench', label: 'bench, short form', run: shortBench },
];

/** @param {Run} run */
function lint(run) {
  // Without a project graph the boundary rule passes in silence.
  return commands([[bin('nx'), 'show', 'projects'], [bin('eslint'), '--max-warnings=0', '.']], run);
}

/** @param {Run} run */
function types(run) {
  return commands([[bin('tsc'), '-p', '.'], [bin('tsc'), '-p', 'tools']], run);
}

/** By itself jest leaves a core to its own process, which only waits: of two it is the half. */
const everyCore = ['--maxWorkers=100%'];

/** @param {Run} run */
function rules(run) {
  return jest({ ...run, folders: ['tools'], args: everyCore });
}

/** @param {Run} run */
function unit(run) {
  return jest({ ...run, folders: ['apps', 'libs', 'chaos'], args: everyCore });
}

/** @param {Run} run */
function integration(run) {
  return jest({
    ...run,
    folders: ['apps', 'libs', 'tools'],
    // Each spec has a database and topics of its own, and waits more than it works.
    args: ['--maxWorkers=2'],
    before: [node, 'tools/scratch.mjs', '--'],
    env: { MILLRACE_SPECS: 'int' },
    timeoutMs: 30 * minuteMs,
  });
}

/** @param {Run} run */
function endToEnd(run) {
  // One story after the other: each has a whole stack of its own.
  const args = ['--config', 'e2e/jest.config.mjs', '--runInBand'];
  return jest({ ...run, folders: [], args, timeoutMs: 45 * minuteMs });
}

/**
 * That each figure can still be measured; a shared machine says nothing of its value.
 * @param {Run} run
 */
function shortBench(run) {
  const bench = [node, 'bench/main.mjs'];
  const names = ['pipeline', 'agents', 'webhooks', 'streams'];
  return commands(names.map((name) => [...bench, name, '--short']), run);
}

/**
 * Commands that count as one test together.
 * @param {readonly (readonly string[])[]} list
 * @param {Run} run
 * @returns {Promise<StageResult>}
 */
async function commands(list, { signal }) {
  for (const command of list) {
    const { status, output } = await runChild(command, { timeoutMs: 10 * minuteMs, signal });
    if (status !== 0) return { tally: one(false), log: output };
  }
  return { tally: one(true), log: '' };
}

/**
 * @typedef {object} JestRun
 * @property {readonly string[]} folders
 * @property {readonly string[]} [args]
 * @property {readonly string[]} [before] what runs jest
 * @property {NodeJS.ProcessEnv} [env]
 * @property {number} [timeoutMs]
 * @param {Run & JestRun} run
 * @returns {Promise<StageResult>}
 */
async function jest(run) {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-jest-'));
  try {
    return await jestInto(join(folder, 'report.json'), run);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * @param {string} reportFile
 * @param {Run & JestRun} run
 * @returns {Promise<StageResult>}
 */
async function jestInto(reportFile, run) {
  let files = 0;
  /** @type {string[]} */
  const said = [];
  const { status, output, timedOut } = await runChild(jestCommand(reportFile, run), {
    timeoutMs: run.timeoutMs ?? 10 * minuteMs,
    signal: run.signal,
    env: { MILLRACE_SPECS: 'unit', ...run.env },
    onLine: (line) => {
      if (line.startsWith('› ')) said.push(line);
      const ended = /^(?:PASS|FAIL) (.*)/.exec(line);
      if (ended) run.update(`${++files} files, last ${ended[1]}`);
    },
  });
  const tail = output.split('\n').slice(-outputLinesMax).join('\n');
  if (timedOut) return { tally: one(false), log: `It hung and was stopped.\n${tail}` };
  if (!existsSync(reportFile)) return { tally: status === 0 ? nothing : one(false), log: tail };
  const report = JSON.parse(readFileSync(reportFile, 'utf8'));
  const tally = tallyOf(report, run.reasonOf);
  const log = report.testResults
    .map((/** @type {{ message: string }} */ suite) => suite.message)
    .filter((/** @type {string} */ message) => message !== '')
    .join('\n');
  // jest may fail without a failed test: an open handle in its own set-up, a lost worker.
  if (status !== 0 && tally.failed === 0) return { tally: { ...tally, failed: 1 }, log: tail };
  return { tally, log, said };
}

/**
 * @param {string} reportFile
 * @param {Run & JestRun} run
 */
function jestCommand(reportFile, { before = [], folders, args = [], patterns }) {
  const inFolders = folders.map((folder) => `/${folder}/`);
  return [
    ...before,
    node,
    '--experimental-vm-modules',
    '--disable-warning=ExperimentalWarning',
    'node_modules/jest/bin/jest.js',
    '--ci',
    '--passWithNoTests',
    '--json',
    `--outputFile=${reportFile}`,
    ...args,
    ...(patterns.length > 0 ? patterns : inFolders),
  ];
}

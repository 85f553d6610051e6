/**
 * What the tools print: one aligned line for each step that ended, and on a terminal one line at
 * the bottom that says what is going on. No colour and no moving line where nobody watches.
 */
import { homeFolder } from './paths.mjs';
import { codeOf } from './stack/stack-error.mjs';

const columns = { label: 24, detail: 44 };
const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const frameMs = 100;
/** Where the moving line is missing, a long step says that it is alive this often. */
const stillEveryMs = 10_000;

// Who has read enough, `head` say, closes its end: the rest has no reader, and work goes on.
process.stdout.on('error', (error) => {
  if (codeOf(error) !== 'EPIPE') throw error;
});

const isTerminal = process.stdout.isTTY === true && process.env['TERM'] !== 'dumb';
const hasColour = isTerminal && !process.env['NO_COLOR'];

/** @param {number} code @returns {(text: string) => string} */
const colour = (code) => (text) => (hasColour ? `\x1b[${code}m${text}\x1b[0m` : text);
export const dim = colour(2);
export const bold = colour(1);
export const green = colour(32);
export const red = colour(31);
export const yellow = colour(33);
export const cyan = colour(36);

/**
 * @typedef {{ label: string, detail: string, startedAt: number, saidAt: number }} Active
 * @type {Set<Active>}
 */
const active = new Set();
/** @type {NodeJS.Timeout | undefined} */
let ticker;
let frame = 0;
let hasFailed = false;

/** @param {string} [text] a line of its own */
export function print(text = '') {
  clearStatus();
  process.stdout.write(`${text}\n`);
  drawStatus();
}

/** @param {string} text something went wrong or is odd, and things go on */
export function warn(text) {
  print(`${yellow('!')} ${text}`);
}

/** @param {string} heading */
export function printHeading(heading) {
  print();
  print(bold(heading));
}

/**
 * @param {string} label
 * @param {string} [detail]
 * @param {number} [ms]
 */
export function printDone(label, detail = '', ms) {
  const time = ms === undefined ? '' : dim(formatMs(ms).padStart(8));
  const text = `${label.padEnd(columns.label)} ${detail.padEnd(columns.detail)} ${time}`;
  print(`${green('✓')} ${text.trimEnd()}`);
}

/**
 * @template T
 * @param {string} label
 * @param {(update: (detail: string) => void) => Promise<T>} work `update` says how far it is
 * @param {(result: T) => string} [describe] the detail of the line printed at its end
 * @returns {Promise<T>}
 */
export async function step(label, work, describe = () => '') {
  const now = performance.now();
  /** @type {Active} */
  const entry = { label, detail: '', startedAt: now, saidAt: now };
  active.add(entry);
  ticker ??= setInterval(tick, frameMs).unref();
  try {
    const result = await work((detail) => (entry.detail = detail));
    active.delete(entry);
    printDone(label, describe(result), performance.now() - entry.startedAt);
    return result;
  } catch (error) {
    active.delete(entry);
    // What fails after the first failure does so because everything is being stopped.
    if (!hasFailed) print(`${red('✗')} ${label}`);
    hasFailed = true;
    throw error;
  } finally {
    if (active.size === 0) {
      clearInterval(ticker);
      ticker = undefined;
    }
  }
}

/** The user ends it: what fails from now on does so because of that. */
export function expectFailures() {
  hasFailed = true;
}

/** @param {number} ms */
export function formatMs(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function tick() {
  frame = (frame + 1) % frames.length;
  if (isTerminal) {
    clearStatus();
    drawStatus();
    return;
  }
  const now = performance.now();
  for (const entry of active) {
    if (now - entry.saidAt < stillEveryMs) continue;
    entry.saidAt = now;
    print(`… ${entry.label.padEnd(columns.label)} ${entry.detail} (${seconds(entry)})`);
  }
}

let statusDrawn = false;

function clearStatus() {
  if (!statusDrawn) return;
  process.stdout.write('\r\x1b[K');
  statusDrawn = false;
}

function drawStatus() {
  if (!isTerminal || active.size === 0) return;
  const texts = [...active].map((entry) =>
    [entry.label, entry.detail, seconds(entry)].filter((part) => part !== '').join(' '),
  );
  const width = (process.stdout.columns ?? 80) - 3;
  process.stdout.write(`${cyan(frames[frame] ?? '')} ${texts.join(' · ').slice(0, width)}`);
  statusDrawn = true;
}

/** @param {Active} entry */
const seconds = (entry) => `${Math.round((performance.now() - entry.startedAt) / 1000)} s`;

/** @param {Error & { log?: string }} error its message says what to do */
export function printFailure(error) {
  print();
  const [first = '', ...rest] = error.message.split('\n');
  print(`${red('✗')} ${bold(first)}`);
  for (const line of rest) print(line === '' ? '' : `  ${line}`);
  if (error.log) for (const line of error.log.split('\n')) print(dim(`    ${line}`));
  if (/No space left on device|ENOSPC/.test(`${error.message}${error.log}`)) {
    print(`  The disk is full: make room for ${homeFolder}, or set MILLRACE_HOME elsewhere.`);
  }
}

/** The last lines of a log, made readable: services write one JSON object a line. */
import { readFrom } from './wait.mjs';

const linesMax = 6;
const columnsMax = 160;
/** What a reader of the terminal does not need to see again. */
const hiddenFields = new Set([
  'level',
  'time',
  'msg',
  'pid',
  'hostname',
  'service',
  'trace_id',
  'span_id',
]);

/** A stack trace buries the reason. */
const stackFrame = /^\s+at |^Node\.js v|^[\s{}]*$/;

/** @param {string} file @param {number} start @returns {string[]} */
export function lastLogLines(file, start) {
  const lines = readFrom(file, start)
    .trimEnd()
    .split('\n')
    .filter((line) => line.trim() !== '' && !stackFrame.test(line));
  const shown = lines.slice(-linesMax).map(readable);
  return shown.length === 0 ? ['(it wrote nothing)'] : shown;
}

/** @param {string} line */
function readable(line) {
  return formatted(line).replaceAll(/\s+/g, ' ').slice(0, columnsMax);
}

/** @param {string} line */
function formatted(line) {
  if (!line.startsWith('{')) return line.trim();
  try {
    const entry = JSON.parse(line);
    const rest = Object.entries(entry)
      .filter(([name]) => !hiddenFields.has(name))
      .map(([name, value]) => `${name}=${typeof value === 'string' ? value : messageOf(value)}`);
    return [entry.level, entry.msg ?? entry.message, ...rest].join(' ');
  } catch {
    return line;
  }
}

/** @param {unknown} value an error is worth its message, not its stack */
function messageOf(value) {
  if (typeof value === 'object' && value !== null && 'message' in value) return value.message;
  return JSON.stringify(value);
}

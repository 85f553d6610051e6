/** How figures are compared with their goals, printed as a table and written as JSON rows. */
import { readFileSync, writeFileSync } from 'node:fs';

const goals = JSON.parse(readFileSync(new URL('./goals.json', import.meta.url), 'utf8'));

/**
 * One figure of a bench. The value is the median of the runs; null when it was not measured, and
 * then the note says why.
 * @param {string} name a key of goals.json
 * @param {number[]} runs
 * @param {string} [note]
 */
export function figure(name, runs, note = '') {
  const row = goals[name];
  if (!row) throw new Error(`bench/goals.json has no row ${name}: add one`);
  const value = runs.length === 0 ? null : median(runs);
  return { name, value, unit: row.unit, goal: row.goal, ok: reaches(row, value), runs, note };
}

/**
 * Whether a run measured all that the repository alone can measure: rows that are `optional` in
 * goals.json need what others make, and are asked for by an option.
 */
export function isComplete(figures) {
  return figures.every(({ name, value }) => value !== null || goals[name].optional === true);
}

/**
 * The rows of one part of a bench. A part that fails leaves rows without a value that say why, and
 * the other parts go on.
 * @template Row
 * @param {readonly string[]} names keys of goals.json: the rows that the part makes
 * @param {() => Promise<Row[]>} work
 */
export async function figuresOf(names, work) {
  try {
    return await work();
  } catch (error) {
    console.log(`  ${names.join(', ')}: not measured\n${error.stack}`);
    return names.map((name) => figure(name, [], error.message));
  }
}

function reaches({ goal, better }, value) {
  if (goal === null || value === null) return null;
  return better === 'higher' ? value >= goal : value <= goal;
}

export function median(values) {
  return percentile(values, 50);
}

/** Nearest-rank percentile. */
export function percentile(values, rank) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((rank / 100) * sorted.length) - 1)];
}

/** Prints rows of cells, the first column to the left and the others to the right. */
export function printTable(header, rows) {
  const cells = [header, ...rows].map((row) => row.map(String));
  const widths = header.map((_, column) => Math.max(...cells.map((row) => row[column].length)));
  for (const [index, row] of cells.entries()) {
    const line = row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column]),
    );
    console.log(`  ${line.join('  ')}`);
    if (index === 0) console.log(`  ${widths.map((width) => '─'.repeat(width)).join('  ')}`);
  }
}

export function printFigures(figures) {
  const shown = (value) => (value === null ? '–' : round(value));
  printTable(
    ['figure', 'value', 'unit', 'goal', 'ok', 'runs'],
    figures.map((f) => [
      f.name,
      shown(f.value),
      f.unit,
      shown(f.goal),
      f.ok === null ? '–' : f.ok ? 'yes' : 'no',
      f.runs.map(round).join(' '),
    ]),
  );
  for (const f of figures.filter((row) => row.note)) console.log(`  ${f.name}: ${f.note}`);
}

/** Three significant digits, without an exponent. */
export function round(value) {
  return String(Number(value.toPrecision(value >= 1000 ? 4 : 3)));
}

/** Writes the rows where `--json FILE` asks for them. */
export function writeFigures(file, figures) {
  if (file) writeFileSync(file, `${JSON.stringify(figures, null, 2)}\n`);
}

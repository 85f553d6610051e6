/** A column of a table: its heading, and what it says of a row. */
export type Columns<R> = Readonly<Record<string, (row: R) => string | number | undefined>>;

/** Characters of one cell: a longer text is cut, and says so by its last character. */
const cellLengthMax = 60;
/** Of an id, which is copied from here: the contract's longest are shorter. */
const idLengthMax = 400;
const gap = '  ';

/** Rows as lines of text, each column as wide as what it holds. */
export function table<R>(rows: readonly R[], columns: Columns<R>): string {
  const headings = Object.keys(columns);
  const lines = [
    headings.map((heading) => heading.toUpperCase()),
    ...rows.map((row) => headings.map((heading) => cell(heading, columns[heading]?.(row)))),
  ];
  const widths = headings.map((_, index) =>
    Math.max(...lines.map((line) => [...(line[index] ?? '')].length)),
  );
  return lines
    .map((line) => line.map((text, index) => padded(text, widths[index] ?? 0)).join(gap).trimEnd())
    .join('\n');
}

/** One thing's fields as lines of text; a field without a value is left out. */
export function fields(values: Readonly<Record<string, string | number | undefined>>): string {
  const given = Object.entries(values).filter(([, value]) => value !== undefined);
  const width = Math.max(0, ...given.map(([name]) => name.length));
  return given
    .map(([name, value]) => `${name.padEnd(width)}${gap}${printable(String(value))}`)
    .join('\n');
}

/** A text without what a terminal would obey: others wrote it. Line breaks stay. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}]/gu, (character) => (character === '\n' ? '\n' : '\u{fffd}'));
}

function cell(heading: string, value: string | number | undefined): string {
  const text = printable(String(value ?? '')).replaceAll('\n', ' ');
  const characters = [...text];
  const lengthMax = heading === 'id' ? idLengthMax : cellLengthMax;
  return characters.length <= lengthMax ? text : `${characters.slice(0, lengthMax - 1).join('')}…`;
}

function padded(text: string, width: number): string {
  return text + ' '.repeat(width - [...text].length);
}

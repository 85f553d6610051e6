import { jobListLimitDefault, jobListLimitMax } from '@millrace/contracts';
import { z } from 'zod';

import { valueOption, type TypedOptions } from '../command.ts';

/** Options of every command that lists, a page at a time. */
export const pageOptions = {
  limit: valueOption(
    'N',
    `rows of a page, at most ${jobListLimitMax} (${jobListLimitDefault})`,
    z.coerce.number('must be a number').int().min(1).max(jobListLimitMax),
  ),
  cursor: valueOption('TEXT', 'where the page begins, as the one before said', z.string().min(1)),
};

/** The line under a table that says how to see more of the same. */
export function nextPage(command: string, cursor: string | null, typed: TypedOptions): string {
  if (cursor === null) return '';
  const options: TypedOptions = { ...typed, cursor };
  const words = Object.entries(options).map(([name, value]) =>
    value === true ? ` --${name}` : ` --${name} ${quoted(String(value))}`,
  );
  return `\n\nMore: millrace ${command}${words.join('')}`;
}

/** As a shell takes it for one word. */
function quoted(word: string): string {
  return /^[\w.:@%+,/=-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

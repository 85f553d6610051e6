import { jobListLimitDefault, jobListLimitMax } from '@millrace/contracts';
import { z } from 'zod';

import { valueOption } from '../command.ts';

/** Options of every command that lists, a page at a time. */
export const pageOptions = {
  limit: valueOption(
    'N',
    `rows of a page, at most ${jobListLimitMax} (${jobListLimitDefault})`,
    z.coerce.number('must be a number').int().min(1).max(jobListLimitMax),
  ),
  cursor: valueOption('TEXT', 'where the page begins, as the one before said', z.string().min(1)),
};

/** The line under a table that says how to see more. */
export function nextPage(command: string, cursor: string | null): string {
  return cursor === null ? '' : `\n\nMore: millrace ${command} --cursor ${cursor}`;
}

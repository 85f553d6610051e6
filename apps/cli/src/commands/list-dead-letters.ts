import { deadLetterListSchema } from '@millrace/contracts';
import { z } from 'zod';

import { defineCommand, valueOption } from '../command.ts';
import { table } from '../core/table.ts';
import {
  letterFilter,
  letterFilterOptions,
  letterHolder,
  letterOwnerOption,
} from './letter-options.ts';
import { nextPage, pageOptions } from './list-options.ts';

export const listDeadLetters = defineCommand({
  name: 'dead-letters list',
  summary: 'List the records that nobody could use, newest first',
  example: 'millrace dead-letters list --code malformed_json',
  operands: [],
  options: z.object({
    ...letterFilterOptions,
    redriven: valueOption('BOOL', 'only those that were, or were not', z.enum(['true', 'false'])),
    ...letterOwnerOption,
    ...pageOptions,
  }),
  run: async ({ api, now }, { typed, values }) => {
    const { cursor, limit, redriven } = values;
    const page = await api.ask({
      method: 'GET',
      path: '/v1/dead-letters',
      query: { ...letterFilter(values, now), redriven, cursor, limit },
      as: letterHolder(values),
      answer: deadLetterListSchema,
    });
    const rows = table(page.data, {
      id: ({ id }) => id,
      topic: ({ topic }) => topic,
      code: ({ code }) => code,
      at: ({ at }) => at,
      redriven: ({ redrive_count }) => redrive_count,
      detail: ({ detail }) => detail,
    });
    return { json: page, text: `${rows}${nextPage('dead-letters list', page.next_cursor, typed)}` };
  },
});

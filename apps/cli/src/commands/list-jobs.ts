import {
  jobListSchema,
  jobStatusSchema,
  jobTypeSchema,
  sessionIdSchema,
} from '@millrace/contracts';
import { z } from 'zod';

import { defineCommand, valueOption } from '../command.ts';
import { table } from '../core/table.ts';
import { nextPage, pageOptions } from './list-options.ts';

export const listJobs = defineCommand({
  name: 'jobs list',
  summary: 'List jobs, newest first',
  example: 'millrace jobs list --status failed --limit 5',
  operands: [],
  options: z.object({
    status: valueOption('STATUS', jobStatusSchema.options.join(', '), jobStatusSchema),
    type: valueOption('TYPE', jobTypeSchema.options.join(', '), jobTypeSchema),
    session: valueOption('ID', 'only the turns of this session', sessionIdSchema),
    ...pageOptions,
  }),
  run: async ({ api }, { typed, values }) => {
    const { session, ...query } = values;
    const page = await api.ask({
      method: 'GET',
      path: '/v1/jobs',
      query: { ...query, session_id: session },
      answer: jobListSchema,
    });
    const rows = table(page.data, {
      id: ({ id }) => id,
      type: ({ type }) => type,
      status: ({ status }) => status,
      created: ({ created_at }) => created_at,
      finished: ({ finished_at }) => finished_at,
      error: ({ error }) => error?.code,
    });
    return { json: page, text: `${rows}${nextPage('jobs list', page.next_cursor, typed)}` };
  },
});

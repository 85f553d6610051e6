import { jobViewSchema } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand } from '../command.ts';
import { jobText } from '../core/job-text.ts';

export const getJob = defineCommand({
  name: 'jobs get',
  summary: 'Show a job: its state, answer, usage and attempts',
  example: 'millrace jobs get order-1',
  operands: ['id'],
  options: z.object({}),
  run: async ({ api }, { operands: [id = ''] }) => {
    const job = await api.ask({
      method: 'GET',
      path: pathOf('v1', 'jobs', id),
      answer: jobViewSchema,
    });
    return { json: job, text: jobText(job) };
  },
});

import { jobViewSchema } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand } from '../command.ts';

export const cancelJob = defineCommand({
  name: 'jobs cancel',
  summary: 'Ask for a job to be cancelled; the first end that it reaches counts',
  example: 'millrace jobs cancel order-1',
  operands: ['id'],
  options: z.object({}),
  run: async ({ api }, { operands: [id = ''] }) => {
    const job = await api.ask({
      method: 'POST',
      path: pathOf('v1', 'jobs', id, 'cancel'),
      answer: jobViewSchema,
    });
    const text = `asked; ${job.id} is ${job.status}\nSee: millrace jobs get ${job.id}`;
    return { json: job, text };
  },
});

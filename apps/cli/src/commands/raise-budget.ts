import { jobViewSchema } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand, valueOption } from '../command.ts';

const countSchema = z.coerce.number('must be a number').int().positive();

export const raiseBudget = defineCommand({
  name: 'budget',
  summary: 'Let the run of a job spend more; it goes on if it waits for that',
  example: 'millrace budget order-1 --usd 5',
  operands: ['job'],
  options: z.object({
    usd: valueOption('N', 'dollars', z.coerce.number('must be a number').positive()),
    tokens: valueOption('N', 'tokens', countSchema),
    iterations: valueOption('N', 'model calls', countSchema),
    'tool-calls': valueOption('N', 'tool calls', countSchema),
    seconds: valueOption('N', 'seconds from its release', countSchema),
  }),
  run: async ({ api }, { operands: [job = ''], values: { 'tool-calls': calls, ...rest } }) => {
    const view = await api.ask({
      method: 'POST',
      path: pathOf('v1', 'jobs', job, 'budget'),
      body: { ...rest, tool_calls: calls },
      answer: jobViewSchema,
    });
    return { json: view, text: `told the run of ${view.id}, which is ${view.status}` };
  },
});

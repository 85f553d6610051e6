import { jobViewSchema } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand, valueOption } from '../command.ts';
import { jsonText } from './json-text.ts';

export const signalJob = defineCommand({
  name: 'signal',
  summary: 'Tell the run of a job something that it waits for',
  example: `millrace signal order-1 paid --data {"usd":5}`,
  operands: ['job', 'name'],
  options: z.object({
    data: valueOption('JSON', 'what is told', jsonText),
    id: valueOption('ID', 'told once under this id', z.string().min(1)),
  }),
  run: async ({ api }, { operands: [job = '', name = ''], values: { data, id } }) => {
    const view = await api.ask({
      method: 'POST',
      path: pathOf('v1', 'jobs', job, 'signals', name),
      body: { data, signal_id: id },
      answer: jobViewSchema,
    });
    return { json: view, text: `told the run of ${view.id}, which is ${view.status}` };
  },
});

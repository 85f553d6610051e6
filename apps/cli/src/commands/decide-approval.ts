import { jobViewSchema } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf, type Api } from '../api.ts';
import { defineCommand, valueOption, type Answer } from '../command.ts';

const hashOption = {
  hash: valueOption('SHA256', 'only if it is still this call', z.string().min(1)),
};

export const approve = defineCommand({
  name: 'approvals approve',
  summary: 'Agree to a tool call that waits for a person',
  example: 'millrace approvals approve order-1 apr_0123456789abcdef0123456789abcdef',
  operands: ['job', 'approval'],
  options: z.object(hashOption),
  run: ({ api }, { operands, values }) => decide(api, operands, { decision: 'approve', ...values }),
});

export const reject = defineCommand({
  name: 'approvals reject',
  summary: 'Refuse a tool call that waits for a person',
  example: 'millrace approvals reject order-1 apr_0123456789abcdef0123456789abcdef --reason dear',
  operands: ['job', 'approval'],
  options: z.object({
    reason: valueOption('TEXT', 'what the model is told', z.string().max(2_000)),
    ...hashOption,
  }),
  run: ({ api }, { operands, values }) => decide(api, operands, { decision: 'reject', ...values }),
});

async function decide(api: Api, operands: readonly string[], body: object): Promise<Answer> {
  const [job = '', approval = ''] = operands;
  const view = await api.ask({
    method: 'POST',
    path: pathOf('v1', 'jobs', job, 'approvals', approval),
    body,
    answer: jobViewSchema,
  });
  return { json: view, text: `told the run of ${view.id}, which is ${view.status}` };
}

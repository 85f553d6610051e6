import { approvalListSchema } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand } from '../command.ts';
import { table } from '../core/table.ts';

export const listApprovals = defineCommand({
  name: 'approvals list',
  summary: 'List the tool calls of a job that wait for a person, or waited',
  example: 'millrace approvals list order-1',
  operands: ['job'],
  options: z.object({}),
  run: async ({ api }, { operands: [job = ''] }) => {
    const list = await api.ask({
      method: 'GET',
      path: pathOf('v1', 'jobs', job, 'approvals'),
      answer: approvalListSchema,
    });
    const text = table(list.data, {
      id: ({ id }) => id,
      status: ({ status }) => status,
      tool: ({ tool }) => tool,
      arguments: ({ arguments: given }) =>
        given === undefined ? undefined : JSON.stringify(given),
      expires: ({ expires_at }) => expires_at,
    });
    return { json: list, text };
  },
});

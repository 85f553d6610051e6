import { webhookEndpointListSchema } from '@millrace/contracts';
import { z } from 'zod';

import { defineCommand } from '../command.ts';
import { table } from '../core/table.ts';
import { nextPage, pageOptions } from './list-options.ts';

export const listEndpoints = defineCommand({
  name: 'webhooks list',
  summary: 'List the webhook endpoints, newest first',
  example: 'millrace webhooks list',
  operands: [],
  options: z.object(pageOptions),
  run: async ({ api }, { values }) => {
    const { cursor, limit } = values;
    const page = await api.ask({
      method: 'GET',
      path: '/v1/webhook-endpoints',
      query: { cursor, limit },
      answer: webhookEndpointListSchema,
    });
    const rows = table(page.data, {
      id: ({ id }) => id,
      status: ({ status }) => status,
      why: ({ disabled_reason }) => disabled_reason ?? undefined,
      failing: ({ health }) => health.failing_since ?? undefined,
      url: ({ url }) => url,
    });
    return { json: page, text: `${rows}${nextPage('webhooks list', page.next_cursor)}` };
  },
});

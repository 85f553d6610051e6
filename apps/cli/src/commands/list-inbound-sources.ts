import { inboundSourceListSchema } from '@millrace/contracts';
import { z } from 'zod';

import { defineCommand } from '../command.ts';
import { table } from '../core/table.ts';
import { nextPage, pageOptions } from './list-options.ts';

export const listInboundSources = defineCommand({
  name: 'inbound list',
  summary: 'List the sources of webhooks that start jobs, newest first',
  example: 'millrace inbound list',
  operands: [],
  options: z.object(pageOptions),
  run: async ({ api }, { values }) => {
    const { cursor, limit } = values;
    const page = await api.ask({
      method: 'GET',
      path: '/v1/inbound-sources',
      query: { cursor, limit },
      answer: inboundSourceListSchema,
    });
    const rows = table(page.data, {
      id: ({ id }) => id,
      provider: ({ provider }) => provider,
      status: ({ enabled }) => (enabled ? 'enabled' : 'disabled'),
      name: ({ name }) => name,
    });
    return { json: page, text: `${rows}${nextPage('inbound list', page.next_cursor)}` };
  },
});

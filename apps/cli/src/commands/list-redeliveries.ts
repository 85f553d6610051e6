import { redeliveryListSchema } from '@millrace/contracts';
import { z } from 'zod';

import { defineCommand } from '../command.ts';
import { table } from '../core/table.ts';
import { nextPage, pageOptions } from './list-options.ts';

export const listRedeliveries = defineCommand({
  name: 'redeliveries list',
  summary: 'List redeliveries of the last 30 days, newest first',
  example: 'millrace redeliveries list',
  operands: [],
  options: z.object(pageOptions),
  run: async ({ api }, { values }) => {
    const page = await api.ask({
      method: 'GET',
      path: '/v1/redeliveries',
      query: values,
      answer: redeliveryListSchema,
    });
    const rows = table(page.data, {
      id: ({ id }) => id,
      state: ({ state }) => state,
      since: ({ since }) => since,
      until: ({ until }) => until,
      published: ({ published }) => published,
    });
    return { json: page, text: `${rows}${nextPage('redeliveries list', page.next_cursor)}` };
  },
});

import { toolListSchema } from '@millrace/contracts';
import { z } from 'zod';

import { defineCommand } from '../command.ts';
import { table } from '../core/table.ts';
import { nextPage, pageOptions } from './list-options.ts';

export const listTools = defineCommand({
  name: 'tools list',
  summary: 'List the tools that agents may be given',
  example: 'millrace tools list',
  operands: [],
  options: z.object(pageOptions),
  run: async ({ api }, { values: { cursor, limit } }) => {
    const page = await api.ask({
      method: 'GET',
      path: '/v1/tools',
      query: { cursor, limit },
      answer: toolListSchema,
    });
    const rows = table(page.data, {
      name: ({ name }) => name,
      version: ({ version }) => version,
      target: ({ target }) => target.kind,
      effect: ({ effect }) => effect,
      approval: ({ approval }) => approval,
      description: ({ description }) => description,
    });
    return { json: page, text: `${rows}${nextPage('tools list', page.next_cursor)}` };
  },
});

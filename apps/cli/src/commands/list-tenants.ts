import { tenantListSchema } from '@millrace/contracts';
import { z } from 'zod';

import { defineCommand } from '../command.ts';
import { table } from '../core/table.ts';
import { nextPage, pageOptions } from './list-options.ts';

export const listTenants = defineCommand({
  name: 'tenants list',
  summary: 'List the tenants, newest first (operator)',
  example: 'millrace tenants list --limit 50',
  operands: [],
  options: z.object(pageOptions),
  run: async ({ api }, { values }) => {
    const page = await api.ask({
      method: 'GET',
      path: '/v1/tenants',
      query: values,
      as: 'operator',
      answer: tenantListSchema,
    });
    const rows = table(page.data, {
      id: ({ id }) => id,
      topic: ({ intake_topic }) => intake_topic,
      created: ({ created_at }) => created_at,
      disabled: ({ disabled_at }) => disabled_at ?? undefined,
    });
    return { json: page, text: `${rows}${nextPage('tenants list', page.next_cursor)}` };
  },
});

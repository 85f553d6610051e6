import { apiKeyListSchema } from '@millrace/contracts';
import { z } from 'zod';

import { defineCommand } from '../command.ts';
import { table } from '../core/table.ts';
import { keyHolderFor, keyOwnerOption } from './key-owner.ts';
import { nextPage, pageOptions } from './list-options.ts';

export const listKeys = defineCommand({
  name: 'keys list',
  summary: 'List API keys by their last characters, revoked ones too, newest first',
  example: 'millrace keys list --tenant acme',
  operands: [],
  options: z.object({ ...keyOwnerOption, ...pageOptions }),
  run: async ({ api }, { typed, values }) => {
    const page = await api.ask({
      method: 'GET',
      path: '/v1/api-keys',
      query: values,
      as: keyHolderFor(values.tenant),
      answer: apiKeyListSchema,
    });
    const rows = table(page.data, {
      id: ({ id }) => id,
      label: ({ label }) => label,
      ends: ({ last4 }) => last4,
      created: ({ created_at }) => created_at,
      'last used': ({ last_used_at }) => last_used_at ?? undefined,
      revoked: ({ revoked_at }) => revoked_at ?? undefined,
    });
    return { json: page, text: `${rows}${nextPage('keys list', page.next_cursor, typed)}` };
  },
});

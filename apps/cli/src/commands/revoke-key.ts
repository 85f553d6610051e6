import { apiKeyViewSchema } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand } from '../command.ts';
import { apiKeyText } from '../core/tenant-text.ts';
import { keyHolderFor, keyOwnerOption } from './key-owner.ts';

export const revokeKey = defineCommand({
  name: 'keys revoke',
  summary: 'Revoke an API key: within ten seconds no process takes it any more',
  example: 'millrace keys revoke key_0123456789abcdef0123456789abcdef',
  operands: ['id'],
  options: z.object(keyOwnerOption),
  run: async ({ api }, { operands: [id = ''], values: { tenant } }) => {
    const key = await api.ask({
      method: 'DELETE',
      path: pathOf('v1', 'api-keys', id),
      query: { tenant },
      as: keyHolderFor(tenant),
      answer: apiKeyViewSchema,
    });
    return { json: key, text: apiKeyText(key) };
  },
});

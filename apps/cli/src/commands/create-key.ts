import { newApiKeySchema } from '@millrace/contracts';
import { z } from 'zod';

import { defineCommand } from '../command.ts';
import { apiKeyText, newSecretText } from '../core/tenant-text.ts';
import { keyHolderFor, keyOwnerOption } from './key-owner.ts';

export const createKey = defineCommand({
  name: 'keys create',
  summary: 'Make an API key with a label; it is shown this once',
  example: 'millrace keys create billing --tenant acme',
  operands: ['label'],
  options: z.object(keyOwnerOption),
  run: async ({ api }, { operands: [label = ''], values: { tenant } }) => {
    const made = await api.ask({
      method: 'POST',
      path: '/v1/api-keys',
      body: { label, tenant },
      as: keyHolderFor(tenant),
      answer: newApiKeySchema,
    });
    return { json: made, text: `${apiKeyText(made)}\n\n${newSecretText(made.key)}` };
  },
});

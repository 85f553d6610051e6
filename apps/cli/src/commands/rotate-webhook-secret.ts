import { tenantWithSecretSchema } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand, flagOption, valueOption } from '../command.ts';
import { newSecretText, tenantText } from '../core/tenant-text.ts';

export const rotateWebhookSecret = defineCommand({
  name: 'tenants rotate-secret',
  summary: 'Give a tenant a new signing secret, which is shown this once (operator)',
  example: 'millrace tenants rotate-secret acme',
  operands: ['id'],
  options: z.object({
    'expire-previous': valueOption(
      'SECONDS',
      'how long those before go on signing (86400)',
      z.coerce.number(),
    ),
    'drop-previous': flagOption('sign with the new one alone: others know the one before it'),
  }),
  run: async ({ api }, { operands: [id = ''], values }) => {
    const tenant = await api.ask({
      method: 'POST',
      path: pathOf('v1', 'tenants', id, 'rotate-webhook-secret'),
      body: {
        expire_previous_in_seconds: values['drop-previous'] ? 0 : values['expire-previous'],
      },
      as: 'operator',
      answer: tenantWithSecretSchema,
    });
    const text = `${tenantText(tenant)}\n\n${newSecretText(tenant.webhook_secret)}`;
    return { json: tenant, text };
  },
});

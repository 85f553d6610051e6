import { tenantWithSecretSchema } from '@millrace/contracts';
import { z } from 'zod';

import { defineCommand } from '../command.ts';
import { newSecretText, tenantText } from '../core/tenant-text.ts';

export const createTenant = defineCommand({
  name: 'tenants create',
  summary: 'Make a tenant; its signing secret is shown this once (operator)',
  example: 'millrace tenants create acme',
  operands: ['id'],
  options: z.object({}),
  run: async ({ api }, { operands: [id = ''] }) => {
    const tenant = await api.ask({
      method: 'POST',
      path: '/v1/tenants',
      body: { id },
      as: 'operator',
      answer: tenantWithSecretSchema,
    });
    const next = `Next: millrace keys create LABEL --tenant ${tenant.id}`;
    const text = [tenantText(tenant), newSecretText(tenant.webhook_secret), next].join('\n\n');
    return { json: tenant, text };
  },
});

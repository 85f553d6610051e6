import { tenantViewSchema } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand } from '../command.ts';
import { tenantText } from '../core/tenant-text.ts';

export const enableTenant = defineCommand({
  name: 'tenants enable',
  summary: 'Enable a tenant again: its keys work, its topic goes on where it stood (operator)',
  example: 'millrace tenants enable acme',
  operands: ['id'],
  options: z.object({}),
  run: async ({ api }, { operands: [id = ''] }) => {
    const tenant = await api.ask({
      method: 'POST',
      path: pathOf('v1', 'tenants', id, 'enable'),
      as: 'operator',
      answer: tenantViewSchema,
    });
    return { json: tenant, text: tenantText(tenant) };
  },
});

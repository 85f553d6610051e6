import { tenantViewSchema } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand } from '../command.ts';
import { tenantText } from '../core/tenant-text.ts';

export const disableTenant = defineCommand({
  name: 'tenants disable',
  summary: 'Disable a tenant: its keys stop working, its topic waits, nothing is lost (operator)',
  example: 'millrace tenants disable acme',
  operands: ['id'],
  options: z.object({}),
  run: async ({ api }, { operands: [id = ''] }) => {
    const tenant = await api.ask({
      method: 'DELETE',
      path: pathOf('v1', 'tenants', id),
      as: 'operator',
      answer: tenantViewSchema,
    });
    const text = `${tenantText(tenant)}\n\nUndo: millrace tenants enable ${tenant.id}`;
    return { json: tenant, text };
  },
});

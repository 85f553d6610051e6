import { tenantListSchema } from '@millrace/contracts';

import { definePagedList } from './paged-list.ts';

export const listTenants = definePagedList({
  name: 'tenants list',
  summary: 'List the tenants, newest first (operator)',
  example: 'millrace tenants list --limit 50',
  path: '/v1/tenants',
  as: 'operator',
  answer: tenantListSchema,
  columns: {
    id: ({ id }) => id,
    topic: ({ intake_topic }) => intake_topic,
    created: ({ created_at }) => created_at,
    disabled: ({ disabled_at }) => disabled_at ?? undefined,
  },
});

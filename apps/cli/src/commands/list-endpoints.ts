import { webhookEndpointListSchema } from '@millrace/contracts';

import { definePagedList } from './paged-list.ts';

export const listEndpoints = definePagedList({
  name: 'webhooks list',
  summary: 'List the webhook endpoints, newest first',
  path: '/v1/webhook-endpoints',
  answer: webhookEndpointListSchema,
  columns: {
    id: ({ id }) => id,
    status: ({ status }) => status,
    why: ({ disabled_reason }) => disabled_reason ?? undefined,
    failing: ({ health }) => health.failing_since ?? undefined,
    url: ({ url }) => url,
  },
});

import { inboundSourceListSchema } from '@millrace/contracts';

import { definePagedList } from './paged-list.ts';

export const listInboundSources = definePagedList({
  name: 'inbound list',
  summary: 'List the sources of webhooks that start jobs, newest first',
  path: '/v1/inbound-sources',
  answer: inboundSourceListSchema,
  columns: {
    id: ({ id }) => id,
    provider: ({ provider }) => provider,
    status: ({ enabled }) => (enabled ? 'enabled' : 'disabled'),
    name: ({ name }) => name,
  },
});

import { redeliveryListSchema } from '@millrace/contracts';

import { definePagedList } from './paged-list.ts';

export const listRedeliveries = definePagedList({
  name: 'redeliveries list',
  summary: 'List redeliveries of the last 30 days, newest first',
  path: '/v1/redeliveries',
  answer: redeliveryListSchema,
  columns: {
    id: ({ id }) => id,
    state: ({ state }) => state,
    since: ({ since }) => since,
    until: ({ until }) => until,
    published: ({ published }) => published,
  },
});

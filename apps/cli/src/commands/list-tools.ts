import { toolListSchema } from '@millrace/contracts';

import { definePagedList } from './paged-list.ts';

export const listTools = definePagedList({
  name: 'tools list',
  summary: 'List the tools that agents may be given',
  path: '/v1/tools',
  answer: toolListSchema,
  columns: {
    name: ({ name }) => name,
    version: ({ version }) => version,
    target: ({ target }) => target.kind,
    effect: ({ effect }) => effect,
    approval: ({ approval }) => approval,
    description: ({ description }) => description,
  },
});

import { documentListSchema } from '@millrace/contracts';

import { definePagedList } from './paged-list.ts';

export const listDocuments = definePagedList({
  name: 'documents list',
  summary: 'List the documents that were uploaded, newest first',
  path: '/v1/documents',
  answer: documentListSchema,
  columns: {
    id: ({ id }) => id,
    name: ({ name }) => name,
    type: ({ content_type: type }) => type,
    bytes: ({ bytes }) => bytes,
    made: ({ created_at }) => created_at,
    expires: ({ expires_at }) => expires_at,
  },
});

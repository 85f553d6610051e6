import { defineDeleted } from './one-thing.ts';

export const deleteDocument = defineDeleted({
  name: 'documents delete',
  summary: 'Delete a document; jobs that began before have its text',
  example: 'millrace documents delete doc_01K8Z6M3Q4W5E6R7T8Y9V0B1N2',
  collection: 'documents',
});

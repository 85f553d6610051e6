import { documentViewSchema } from '@millrace/contracts';

import { documentText } from '../core/document-text.ts';
import { defineShown } from './one-thing.ts';

export const getDocument = defineShown({
  name: 'documents get',
  summary: 'Show what is known of a document',
  example: 'millrace documents get doc_01K8Z6M3Q4W5E6R7T8Y9V0B1N2',
  collection: 'documents',
  answer: documentViewSchema,
  text: documentText,
});

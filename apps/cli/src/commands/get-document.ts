import { documentViewSchema } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand } from '../command.ts';
import { documentText } from '../core/document-text.ts';

export const getDocument = defineCommand({
  name: 'documents get',
  summary: 'Show what is known of a document',
  example: 'millrace documents get doc_01K8Z6M3Q4W5E6R7T8Y9V0B1N2',
  operands: ['id'],
  options: z.object({}),
  run: async ({ api }, { operands: [id = ''] }) => {
    const path = pathOf('v1', 'documents', id);
    const document = await api.ask({ method: 'GET', path, answer: documentViewSchema });
    return { json: document, text: documentText(document) };
  },
});

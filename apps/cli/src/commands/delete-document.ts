import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand } from '../command.ts';

export const deleteDocument = defineCommand({
  name: 'documents delete',
  summary: 'Delete a document; jobs that began before have its text',
  example: 'millrace documents delete doc_01K8Z6M3Q4W5E6R7T8Y9V0B1N2',
  operands: ['id'],
  options: z.object({}),
  run: async ({ api }, { operands: [id = ''] }) => {
    const path = pathOf('v1', 'documents', id);
    await api.ask({ method: 'DELETE', path, answer: z.undefined() });
    return { json: { id, deleted: true }, text: `${id} is deleted` };
  },
});

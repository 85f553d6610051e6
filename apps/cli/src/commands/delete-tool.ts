import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand } from '../command.ts';

export const deleteTool = defineCommand({
  name: 'tools delete',
  summary: 'Take a tool away; runs that began with it keep it',
  example: 'millrace tools delete search_orders',
  operands: ['name'],
  options: z.object({}),
  run: async ({ api }, { operands: [name = ''] }) => {
    const path = pathOf('v1', 'tools', name);
    await api.ask({ method: 'DELETE', path, answer: z.undefined() });
    return { json: { name, deleted: true }, text: `${name} is no tool any more` };
  },
});

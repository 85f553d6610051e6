import { toolViewSchema } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand } from '../command.ts';
import { toolText } from '../core/tool-text.ts';

export const getTool = defineCommand({
  name: 'tools get',
  summary: 'Show a tool',
  example: 'millrace tools get search_orders',
  operands: ['name'],
  options: z.object({}),
  run: async ({ api }, { operands: [name = ''] }) => {
    const path = pathOf('v1', 'tools', name);
    const tool = await api.ask({ method: 'GET', path, answer: toolViewSchema });
    return { json: tool, text: toolText(tool) };
  },
});

import { redeliveryViewSchema } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand } from '../command.ts';
import { redeliveryText } from '../core/redelivery-text.ts';

export const getRedelivery = defineCommand({
  name: 'redeliveries get',
  summary: 'Show how far a redelivery is',
  example: 'millrace redeliveries get rdl_0123456789abcdef0123456789abcdef',
  operands: ['id'],
  options: z.object({}),
  run: async ({ api }, { operands: [id = ''] }) => {
    const redelivery = await api.ask({
      method: 'GET',
      path: pathOf('v1', 'redeliveries', id),
      answer: redeliveryViewSchema,
    });
    return { json: redelivery, text: redeliveryText(redelivery) };
  },
});

import { deliveryViewSchema } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand } from '../command.ts';
import { deliveryText } from '../core/webhook-text.ts';

export const getDelivery = defineCommand({
  name: 'deliveries get',
  summary: 'Show one webhook',
  example: 'millrace deliveries get msg_2mXyqk0m3uX5mQ4wYj1nV7sT8aB',
  operands: ['id'],
  options: z.object({}),
  run: async ({ api }, { operands: [id = ''] }) => {
    const path = pathOf('v1', 'deliveries', id);
    const delivery = await api.ask({ method: 'GET', path, answer: deliveryViewSchema });
    return { json: delivery, text: deliveryText(delivery) };
  },
});

import { deliveryViewSchema } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand } from '../command.ts';
import { deliveryText } from '../core/webhook-text.ts';

export const replayDelivery = defineCommand({
  name: 'deliveries replay',
  summary: 'Send a webhook again, the same bytes under the same webhook-id',
  example: 'millrace deliveries replay msg_2mXyqk0m3uX5mQ4wYj1nV7sT8aB',
  operands: ['id'],
  options: z.object({}),
  run: async ({ api }, { operands: [id = ''] }) => {
    const path = pathOf('v1', 'deliveries', id, 'replay');
    const delivery = await api.ask({ method: 'POST', path, answer: deliveryViewSchema });
    return { json: delivery, text: deliveryText(delivery) };
  },
});

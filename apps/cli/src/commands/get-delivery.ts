import { deliveryViewSchema } from '@millrace/contracts';

import { deliveryText } from '../core/webhook-text.ts';
import { defineShown } from './one-thing.ts';

export const getDelivery = defineShown({
  name: 'deliveries get',
  summary: 'Show one webhook',
  example: 'millrace deliveries get msg_2mXyqk0m3uX5mQ4wYj1nV7sT8aB',
  collection: 'deliveries',
  answer: deliveryViewSchema,
  text: deliveryText,
});

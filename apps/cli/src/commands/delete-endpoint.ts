import { defineDeleted } from './one-thing.ts';

export const deleteEndpoint = defineDeleted({
  name: 'webhooks delete',
  summary: 'Take a webhook endpoint away; what waits for it is given up',
  example: 'millrace webhooks delete ep_01KC2Y8Q0X4E5ZJ7V9M3T6R1AB',
  collection: 'webhook-endpoints',
});

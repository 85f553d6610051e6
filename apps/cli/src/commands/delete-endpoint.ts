import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand } from '../command.ts';

export const deleteEndpoint = defineCommand({
  name: 'webhooks delete',
  summary: 'Take a webhook endpoint away; what waits for it is given up',
  example: 'millrace webhooks delete ep_01KC2Y8Q0X4E5ZJ7V9M3T6R1AB',
  operands: ['id'],
  options: z.object({}),
  run: async ({ api }, { operands: [id = ''] }) => {
    await api.ask({
      method: 'DELETE',
      path: pathOf('v1', 'webhook-endpoints', id),
      answer: z.undefined(),
    });
    return { json: { deleted: id }, text: `${id} is gone` };
  },
});

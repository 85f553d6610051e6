import { endpointTestSchema } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand } from '../command.ts';

export const testEndpoint = defineCommand({
  name: 'webhooks test',
  summary: 'Send an endpoint a ping, by the way of every webhook',
  example: 'millrace webhooks test ep_01KC2Y8Q0X4E5ZJ7V9M3T6R1AB',
  operands: ['id'],
  options: z.object({}),
  run: async ({ api }, { operands: [id = ''] }) => {
    const test = await api.ask({
      method: 'POST',
      path: pathOf('v1', 'webhook-endpoints', id, 'test'),
      answer: endpointTestSchema,
    });
    const how = `millrace deliveries attempts ${test.delivery_id}`;
    return { json: test, text: `On its way. What came of it: ${how}` };
  },
});

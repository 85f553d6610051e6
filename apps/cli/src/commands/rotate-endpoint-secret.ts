import { webhookEndpointWithSecretSchema } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand, valueOption } from '../command.ts';
import { endpointSecretText, endpointText } from '../core/webhook-text.ts';

export const rotateEndpointSecret = defineCommand({
  name: 'webhooks rotate-secret',
  summary: 'Give an endpoint a new signing secret, which is shown this once',
  example: 'millrace webhooks rotate-secret ep_01KC2Y8Q0X4E5ZJ7V9M3T6R1AB --expire-previous 3600',
  operands: ['id'],
  options: z.object({
    'expire-previous': valueOption(
      'SECONDS',
      'how long those before go on signing (86400)',
      z.coerce.number(),
    ),
    secret: valueOption('SECRET', 'one that the receiver has already', z.string()),
  }),
  run: async ({ api }, { operands: [id = ''], values }) => {
    const endpoint = await api.ask({
      method: 'POST',
      path: pathOf('v1', 'webhook-endpoints', id, 'rotate-secret'),
      body: { expire_previous_in_seconds: values['expire-previous'], secret: values.secret },
      answer: webhookEndpointWithSecretSchema,
    });
    const text = `${endpointText(endpoint)}\n\n${endpointSecretText(endpoint.secret)}`;
    return { json: endpoint, text };
  },
});

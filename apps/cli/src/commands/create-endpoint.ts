import { webhookEndpointWithSecretSchema } from '@millrace/contracts';
import { z } from 'zod';

import { defineCommand, valueOption } from '../command.ts';
import { endpointSecretText, endpointText } from '../core/webhook-text.ts';
import { endpointOptions, endpointSettings } from './endpoint-options.ts';

export const createEndpoint = defineCommand({
  name: 'webhooks create',
  summary: 'Register a webhook endpoint; its signing secret is shown this once',
  example: 'millrace webhooks create https://example.com/hook --events millrace.job.failed.v1',
  operands: ['url'],
  options: z.object({
    ...endpointOptions,
    secret: valueOption('SECRET', 'one that the receiver has already', z.string()),
  }),
  run: async ({ api }, { operands: [url = ''], values }) => {
    const endpoint = await api.ask({
      method: 'POST',
      path: '/v1/webhook-endpoints',
      body: { url, ...endpointSettings(values), secret: values.secret },
      answer: webhookEndpointWithSecretSchema,
    });
    const text = `${endpointText(endpoint)}\n\n${endpointSecretText(endpoint.secret)}`;
    return { json: endpoint, text };
  },
});

import { webhookEndpointViewSchema } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand, valueOption } from '../command.ts';
import { endpointText } from '../core/webhook-text.ts';
import { endpointOptions, endpointSettings } from './endpoint-options.ts';

export const changeEndpoint = defineCommand({
  name: 'webhooks change',
  summary: 'Change what is named of a webhook endpoint',
  example: 'millrace webhooks change ep_… --timeout 5 --headers \'{"X-Door": null}\'',
  operands: ['id'],
  options: z.object({
    url: valueOption('URL', 'where it is; what waits goes there', z.string()),
    ...endpointOptions,
  }),
  run: async ({ api }, { operands: [id = ''], values }) => {
    const endpoint = await api.ask({
      method: 'PATCH',
      path: pathOf('v1', 'webhook-endpoints', id),
      body: { url: values.url, ...endpointSettings(values) },
      answer: webhookEndpointViewSchema,
    });
    return { json: endpoint, text: endpointText(endpoint) };
  },
});

import { webhookEndpointViewSchema } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand } from '../command.ts';
import { endpointText } from '../core/webhook-text.ts';

/** Commands that name an endpoint, and are answered with how it is then. */
function endpointCommand(o: {
  readonly name: string;
  readonly summary: string;
  readonly method: 'GET' | 'POST';
  readonly action?: string;
}) {
  return defineCommand({
    name: `webhooks ${o.name}`,
    summary: o.summary,
    example: `millrace webhooks ${o.name} ep_01KC2Y8Q0X4E5ZJ7V9M3T6R1AB`,
    operands: ['id'],
    options: z.object({}),
    run: async ({ api }, { operands: [id = ''] }) => {
      const action = o.action === undefined ? [] : [o.action];
      const endpoint = await api.ask({
        method: o.method,
        path: pathOf('v1', 'webhook-endpoints', id, ...action),
        answer: webhookEndpointViewSchema,
      });
      return { json: endpoint, text: endpointText(endpoint) };
    },
  });
}

export const getEndpoint = endpointCommand({
  name: 'get',
  summary: 'Show a webhook endpoint, and how it fares',
  method: 'GET',
});
export const pauseEndpoint = endpointCommand({
  name: 'pause',
  summary: 'Let what is for an endpoint wait',
  method: 'POST',
  action: 'pause',
});
export const resumeEndpoint = endpointCommand({
  name: 'resume',
  summary: 'Send what waited since a pause',
  method: 'POST',
  action: 'resume',
});
export const enableEndpoint = endpointCommand({
  name: 'enable',
  summary: 'Send to an endpoint again that was disabled',
  method: 'POST',
  action: 'enable',
});

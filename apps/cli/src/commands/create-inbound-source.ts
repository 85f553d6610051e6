import { inboundProviderSchema, inboundSourceViewSchema } from '@millrace/contracts';
import { z } from 'zod';

import { defineCommand, valueOption } from '../command.ts';
import { inboundSourceText } from '../core/inbound-text.ts';
import { UsageError } from '../core/usage-error.ts';
import { jsonText } from './json-text.ts';

export const createInboundSource = defineCommand({
  name: 'inbound create',
  summary: 'Let the signed webhooks of another system start jobs',
  example:
    'millrace inbound create issues --provider github --secret SECRET ' +
    `--template '{"prompt": "Sort this in: {{ payload.issue.title }}"}'`,
  operands: ['name'],
  options: z.object({
    provider: valueOption('NAME', inboundProviderSchema.options.join(', '), inboundProviderSchema),
    secret: valueOption('SECRET', 'what it signs with', z.string()),
    template: valueOption('JSON', 'the job, with {{ payload… }} in its texts', jsonText),
    events: valueOption(
      'TYPES',
      'those that start a job, comma-separated (all)',
      z.string().transform((text) => text.split(',')),
    ),
    'signature-header': valueOption('NAME', 'of generic: where the signature is', z.string()),
    'delivery-header': valueOption('NAME', 'of generic: what names a delivery', z.string()),
  }),
  run: async ({ api }, { operands: [name = ''], values }) => {
    const { provider, secret, template, events } = values;
    if (provider === undefined || secret === undefined || template === undefined) {
      throw new UsageError('inbound create takes --provider, --secret and --template');
    }
    const source = await api.ask({
      method: 'POST',
      path: '/v1/inbound-sources',
      body: {
        ...{ name, provider, secret, template, events },
        signature_header: values['signature-header'],
        delivery_header: values['delivery-header'],
      },
      answer: inboundSourceViewSchema,
    });
    return { json: source, text: inboundSourceText(source) };
  },
});

import { inboundSourceViewSchema } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand, flagOption, valueOption } from '../command.ts';
import { inboundSourceText } from '../core/inbound-text.ts';
import { UsageError } from '../core/usage-error.ts';

export const addInboundSecret = defineCommand({
  name: 'inbound add-secret',
  summary: 'Believe another secret of a source, beside those before it',
  example: 'millrace inbound add-secret src_0123456789abcdefghijklmnopqrstuv --secret SECRET',
  operands: ['id'],
  options: z.object({
    secret: valueOption('SECRET', 'what it signs with from now on', z.string()),
    'drop-previous': flagOption('believe none of those before it'),
  }),
  run: async ({ api }, { operands: [id = ''], values }) => {
    const { secret, 'drop-previous': dropsPrevious } = values;
    if (secret === undefined) throw new UsageError('inbound add-secret takes --secret');
    const source = await api.ask({
      method: 'POST',
      path: pathOf('v1', 'inbound-sources', id, 'secrets'),
      body: { secret, keep_previous: !dropsPrevious },
      answer: inboundSourceViewSchema,
    });
    return { json: source, text: inboundSourceText(source) };
  },
});

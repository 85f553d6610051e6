import { inboundSourceViewSchema } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand, valueOption } from '../command.ts';
import { inboundSourceText } from '../core/inbound-text.ts';
import { UsageError } from '../core/usage-error.ts';
import { jsonText } from './json-text.ts';

/** `all` is no filter: the API's null. */
const eventsText = z
  .string()
  .transform((text) => (text === 'all' ? null : text.split(',')));

export const changeInboundSource = defineCommand({
  name: 'inbound change',
  summary: 'Change what is named of a source, or let it start no jobs for a while',
  example: 'millrace inbound change src_0123456789abcdefghijklmnopqrstuv --events issues.opened',
  operands: ['id'],
  options: z.object({
    name: valueOption('TEXT', 'for people', z.string()),
    template: valueOption('JSON', 'the job, with {{ payload… }} in its texts', jsonText),
    events: valueOption('TYPES', 'those that start a job, comma-separated, or all', eventsText),
    enabled: valueOption('BOOL', 'false: nobody is at its address', z.enum(['true', 'false'])),
  }),
  run: async ({ api }, { operands: [id = ''], values }) => {
    const { enabled, events, name, template } = values;
    const isNothing = [enabled, events, name, template].every((each) => each === undefined);
    if (isNothing) throw new UsageError('inbound change takes what is to be changed');
    const source = await api.ask({
      method: 'PATCH',
      path: pathOf('v1', 'inbound-sources', id),
      body: {
        ...{ name, template, events },
        enabled: enabled === undefined ? undefined : enabled === 'true',
      },
      answer: inboundSourceViewSchema,
    });
    return { json: source, text: inboundSourceText(source) };
  },
});

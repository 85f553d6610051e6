import { inboundSourceViewSchema } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand } from '../command.ts';
import { inboundSourceText } from '../core/inbound-text.ts';

export const getInboundSource = defineCommand({
  name: 'inbound get',
  summary: 'Show a source of webhooks, but none of its secrets',
  example: 'millrace inbound get src_0123456789abcdefghijklmnopqrstuv',
  operands: ['id'],
  options: z.object({}),
  run: async ({ api }, { operands: [id = ''] }) => {
    const path = pathOf('v1', 'inbound-sources', id);
    const source = await api.ask({ method: 'GET', path, answer: inboundSourceViewSchema });
    return { json: source, text: inboundSourceText(source) };
  },
});

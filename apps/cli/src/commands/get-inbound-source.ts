import { inboundSourceViewSchema } from '@millrace/contracts';

import { inboundSourceText } from '../core/inbound-text.ts';
import { defineShown } from './one-thing.ts';

export const getInboundSource = defineShown({
  name: 'inbound get',
  summary: 'Show a source of webhooks, but none of its secrets',
  example: 'millrace inbound get src_0123456789abcdefghijklmnopqrstuv',
  collection: 'inbound-sources',
  answer: inboundSourceViewSchema,
  text: inboundSourceText,
});

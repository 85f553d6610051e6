import { toolViewSchema } from '@millrace/contracts';

import { toolText } from '../core/tool-text.ts';
import { defineShown } from './one-thing.ts';

export const getTool = defineShown({
  name: 'tools get',
  summary: 'Show a tool',
  example: 'millrace tools get search_orders',
  collection: 'tools',
  operand: 'name',
  answer: toolViewSchema,
  text: toolText,
});

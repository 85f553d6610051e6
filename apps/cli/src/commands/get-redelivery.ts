import { redeliveryViewSchema } from '@millrace/contracts';

import { redeliveryText } from '../core/redelivery-text.ts';
import { defineShown } from './one-thing.ts';

export const getRedelivery = defineShown({
  name: 'redeliveries get',
  summary: 'Show how far a redelivery is',
  example: 'millrace redeliveries get rdl_0123456789abcdef0123456789abcdef',
  collection: 'redeliveries',
  answer: redeliveryViewSchema,
  text: redeliveryText,
});

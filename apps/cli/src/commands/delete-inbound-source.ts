import { defineDeleted } from './one-thing.ts';

export const deleteInboundSource = defineDeleted({
  name: 'inbound delete',
  summary: 'Take a source of webhooks away; its address answers 404 from then on',
  example: 'millrace inbound delete src_0123456789abcdefghijklmnopqrstuv',
  collection: 'inbound-sources',
});

import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand } from '../command.ts';

export const deleteInboundSource = defineCommand({
  name: 'inbound delete',
  summary: 'Take a source of webhooks away; its address answers 404 from then on',
  example: 'millrace inbound delete src_0123456789abcdefghijklmnopqrstuv',
  operands: ['id'],
  options: z.object({}),
  run: async ({ api }, { operands: [id = ''] }) => {
    await api.ask({
      method: 'DELETE',
      path: pathOf('v1', 'inbound-sources', id),
      answer: z.undefined(),
    });
    return { json: { deleted: id }, text: `${id} is gone` };
  },
});

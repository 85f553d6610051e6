import { replayBatchAnswerSchema } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand, valueOption } from '../command.ts';
import { instantOf, typedMomentSchema } from '../core/moment.ts';
import { UsageError } from '../core/usage-error.ts';
import { replayedText } from '../core/webhook-text.ts';

export const recoverEndpoint = defineCommand({
  name: 'webhooks recover',
  summary: 'Send an endpoint again what it missed',
  example: 'millrace webhooks recover ep_01KC2Y8Q0X4E5ZJ7V9M3T6R1AB --since 2h',
  operands: ['id'],
  options: z.object({
    since: valueOption('TIME', 'made since: 2h, 3d or RFC 3339', typedMomentSchema),
    until: valueOption('TIME', 'made before', typedMomentSchema),
  }),
  run: async ({ api, now }, { operands: [id = ''], values: { since, until } }) => {
    if (since === undefined) throw new UsageError('webhooks recover takes --since');
    const answer = await api.ask({
      method: 'POST',
      path: pathOf('v1', 'webhook-endpoints', id, 'recover'),
      body: {
        since: instantOf(since, now),
        until: until === undefined ? undefined : instantOf(until, now),
      },
      answer: replayBatchAnswerSchema,
    });
    return { json: answer, text: replayedText(answer) };
  },
});

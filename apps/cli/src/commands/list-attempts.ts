import { deliveryAttemptListSchema } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand } from '../command.ts';
import { table } from '../core/table.ts';

export const listAttempts = defineCommand({
  name: 'deliveries attempts',
  summary: 'Show what a receiver answered to a webhook, and how long it took',
  example: 'millrace deliveries attempts msg_2mXyqk0m3uX5mQ4wYj1nV7sT8aB',
  operands: ['id'],
  options: z.object({}),
  run: async ({ api }, { operands: [id = ''] }) => {
    const attempts = await api.ask({
      method: 'GET',
      path: pathOf('v1', 'deliveries', id, 'attempts'),
      answer: deliveryAttemptListSchema,
    });
    const text = table(attempts.data, {
      number: ({ number }) => number,
      at: ({ started_at }) => started_at,
      outcome: ({ outcome }) => outcome,
      status: ({ http_status }) => http_status,
      class: ({ class: why }) => why,
      ms: ({ timings_ms }) => Math.round(timings_ms.total),
      answer: ({ response_excerpt }) => response_excerpt ?? undefined,
    });
    return { json: attempts, text };
  },
});

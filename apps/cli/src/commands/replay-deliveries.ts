import { replayableStatuses, replayBatchAnswerSchema } from '@millrace/contracts';
import { z } from 'zod';

import { defineCommand, valueOption } from '../command.ts';
import { UsageError } from '../core/usage-error.ts';
import { deliveryFilter, deliveryFilterOptions } from './delivery-options.ts';

export const replayDeliveries = defineCommand({
  name: 'deliveries replay --all',
  summary: 'Send all webhooks again that were given up or skipped, oldest first',
  example: 'millrace deliveries replay --all --endpoint ep_01KC2Y8Q0X4E5ZJ7V9M3T6R1AB --since 2h',
  operands: [],
  options: z.object({
    ...deliveryFilterOptions,
    status: valueOption(
      'STATUS',
      `only those that are ${replayableStatuses.join(', ')}`,
      z.enum(replayableStatuses),
    ),
  }),
  run: async ({ api, note, now }, { values }) => {
    const { since, ...filter } = deliveryFilter(values, now);
    if (since === undefined) throw new UsageError('deliveries replay --all takes --since');
    let replayed = 0;
    // What the first answer says: what fails again meanwhile is not sent a second time.
    let { until } = filter;
    for (;;) {
      const answer = await api.ask({
        method: 'POST',
        path: '/v1/deliveries:replay',
        body: { endpoint: filter.endpoint, status: values.status, since, until },
        answer: replayBatchAnswerSchema,
      });
      replayed += answer.replayed;
      ({ until } = answer);
      if (!answer.more) break;
      note(`${replayed} sent again`);
    }
    return { json: { replayed, until }, text: `${replayed} sent again` };
  },
});

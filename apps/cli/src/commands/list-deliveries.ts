import { deliveryListSchema, deliveryStatusSchema } from '@millrace/contracts';
import { z } from 'zod';

import { defineCommand, valueOption } from '../command.ts';
import { table } from '../core/table.ts';
import { deliveryFilter, deliveryFilterOptions } from './delivery-options.ts';
import { nextPage, pageOptions } from './list-options.ts';

export const listDeliveries = defineCommand({
  name: 'deliveries list',
  summary: 'List webhooks and what became of them, newest first',
  example: 'millrace deliveries list --status dead --since 2h',
  operands: [],
  options: z.object({
    ...deliveryFilterOptions,
    status: valueOption('STATUS', 'waiting, delivered, dead, …', deliveryStatusSchema),
    job: valueOption('ID', 'only those about this job', z.string().min(1)),
    ...pageOptions,
  }),
  run: async ({ api, now }, { typed, values }) => {
    const { cursor, job, limit, status } = values;
    const page = await api.ask({
      method: 'GET',
      path: '/v1/deliveries',
      query: { ...deliveryFilter(values, now), status, job_id: job, cursor, limit },
      answer: deliveryListSchema,
    });
    const rows = table(page.data, {
      id: ({ id }) => id,
      type: ({ event_type }) => event_type,
      job: ({ job_id }) => job_id ?? undefined,
      status: ({ status: is }) => is,
      attempts: ({ attempts }) => attempts,
      made: ({ created_at }) => created_at,
    });
    return { json: page, text: `${rows}${nextPage('deliveries list', page.next_cursor, typed)}` };
  },
});

import { timelineSchema } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand } from '../command.ts';
import { timelineText } from '../core/timeline-text.ts';

export const getTimeline = defineCommand({
  name: 'jobs timeline',
  summary: 'Show what happened to a job: each attempt, step and webhook, and how long it took',
  example: 'millrace jobs timeline order-1',
  operands: ['id'],
  options: z.object({}),
  run: async ({ api }, { operands: [id = ''] }) => {
    const timeline = await api.ask({
      method: 'GET',
      path: pathOf('v1', 'jobs', id, 'timeline'),
      answer: timelineSchema,
    });
    return { json: timeline, text: timelineText(timeline) };
  },
});

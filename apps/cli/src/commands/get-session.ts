import { sessionViewSchema } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand } from '../command.ts';
import { table } from '../core/table.ts';

export const getSession = defineCommand({
  name: 'sessions get',
  summary: 'Show a session: how many turns it has had, and its newest jobs',
  example: 'millrace sessions get chat-1',
  operands: ['id'],
  options: z.object({}),
  run: async ({ api }, { operands: [id = ''] }) => {
    const session = await api.ask({
      method: 'GET',
      path: pathOf('v1', 'sessions', id),
      answer: sessionViewSchema,
    });
    const jobs = table(session.jobs, {
      id: (job) => job.id,
      status: ({ status }) => status,
      created: ({ created_at }) => created_at,
      finished: ({ finished_at }) => finished_at,
      error: ({ error }) => error?.code,
    });
    return { json: session, text: `session  ${session.id}\nturns    ${session.turns}\n\n${jobs}` };
  },
});

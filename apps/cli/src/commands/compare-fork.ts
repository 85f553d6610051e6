import { forkComparisonSchema, type ForkSide } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand } from '../command.ts';
import { printable, table } from '../core/table.ts';

export const compareFork = defineCommand({
  name: 'fork compare',
  summary: 'Show what a fork did otherwise than its source',
  example: 'millrace fork compare order-2',
  operands: ['job'],
  options: z.object({}),
  run: async ({ api }, { operands: [job = ''] }) => {
    const compared = await api.ask({
      method: 'GET',
      path: pathOf('v1', 'jobs', job, 'fork'),
      answer: forkComparisonSchema,
    });
    const sides: ForkSide[] = [compared.source, compared.fork];
    const rows = table(sides, {
      job: ({ job_id }) => job_id,
      status: ({ status }) => status,
      model: ({ model }) => model,
      usd: ({ usd }) => usd,
      turns: ({ turns }) => turns,
      'tool calls': ({ tool_calls: calls }) => calls.length,
    });
    const answers = sides.map(({ job_id, result = '(none)' }) => `${job_id}: ${result}`);
    const text = [`after step ${compared.from_step}:\n${rows}`, ...answers.map(printable)];
    return { json: compared, text: text.join('\n\n') };
  },
});

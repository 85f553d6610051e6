import { jobViewSchema } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand, flagOption, valueOption } from '../command.ts';

const textSchema = z.string().min(1);

export const forkJob = defineCommand({
  name: 'fork',
  summary: 'Run an agent again from one of its steps on, in another way',
  example: 'millrace fork order-1 --from-step 4 --model claude-opus-5',
  operands: ['job'],
  options: z.object({
    'from-step': valueOption(
      'N',
      'the last step that is taken over (0)',
      z.coerce.number('must be a number').int().nonnegative(),
    ),
    model: valueOption('NAME', 'another model', textSchema),
    system: valueOption('TEXT', 'another system prompt', z.string()),
    prompt: valueOption('TEXT', 'said at that step; from step 0 another first message', textSchema),
    tools: valueOption(
      'A,B',
      'other tools; none with an empty text',
      z.string().transform((text) => text.split(',').filter((name) => name !== '')),
    ),
    'allow-side-effects': flagOption('really call tools that write'),
    id: valueOption('ID', 'the new job’s', textSchema),
  }),
  run: async ({ api }, { operands: [job = ''], values }) => {
    const { 'from-step': fromStep = 0, 'allow-side-effects': allowed, id, ...rest } = values;
    const made = await api.ask({
      method: 'POST',
      path: pathOf('v1', 'jobs', job, 'fork'),
      body: { ...rest, from_step: fromStep, allow_side_effects: allowed, job_id: id },
      answer: jobViewSchema,
    });
    const text = `job ${made.id}\nSee: millrace fork compare ${made.id}`;
    return { json: made, text };
  },
});

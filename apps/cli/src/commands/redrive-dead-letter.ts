import { deadLetterViewSchema, redriveViewSchema } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand, flagOption } from '../command.ts';
import { letterHolder, letterOwnerOption } from './letter-options.ts';

export const redriveDeadLetter = defineCommand({
  name: 'dead-letters redrive',
  summary: 'Try again what was given up: the record, its job as a new one, or its webhook',
  example: 'millrace dead-letters redrive dl_0123456789abcdef0123456789abcdef',
  operands: ['id'],
  options: z.object({
    again: flagOption('although it was redriven before'),
    ...letterOwnerOption,
  }),
  run: async ({ api }, { operands: [id = ''], values }) => {
    const as = letterHolder(values);
    const path = pathOf('v1', 'dead-letters', id);
    const seen = values.again
      ? await api.ask({ method: 'GET', path, as, answer: deadLetterViewSchema })
      : { redrive_count: 0 };
    const redrive = await api.ask({
      method: 'POST',
      path: `${path}/redrive`,
      as,
      body: { after: seen.redrive_count },
      answer: redriveViewSchema,
    });
    const job = redrive.job_id;
    const made = `job ${job}\nSee: millrace jobs get ${job}`;
    const result = job === undefined ? 'published again' : made;
    return { json: redrive, text: `redrive ${redrive.redrive_count}: ${result}` };
  },
});

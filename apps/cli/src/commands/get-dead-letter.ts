import { deadLetterViewSchema } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand } from '../command.ts';
import { deadLetterText } from '../core/dead-letter-text.ts';
import { letterHolder, letterOwnerOption } from './letter-options.ts';

export const getDeadLetter = defineCommand({
  name: 'dead-letters get',
  summary: 'Show a record that nobody could use, whole',
  example: 'millrace dead-letters get dl_0123456789abcdef0123456789abcdef',
  operands: ['id'],
  options: z.object(letterOwnerOption),
  run: async ({ api }, { operands: [id = ''], values }) => {
    const letter = await api.ask({
      method: 'GET',
      path: pathOf('v1', 'dead-letters', id),
      as: letterHolder(values),
      answer: deadLetterViewSchema,
    });
    return { json: letter, text: deadLetterText(letter) };
  },
});

import { deadLetterViewSchema } from '@millrace/contracts';
import { z } from 'zod';

import { pathOf } from '../api.ts';
import { defineCommand } from '../command.ts';
import { deadLetterText } from '../core/dead-letter-text.ts';

export const getDeadLetter = defineCommand({
  name: 'dead-letters get',
  summary: 'Show a record that nobody could use, whole',
  example: 'millrace dead-letters get dl_0123456789abcdef0123456789abcdef',
  operands: ['id'],
  options: z.object({}),
  run: async ({ api }, { operands: [id = ''] }) => {
    const letter = await api.ask({
      method: 'GET',
      path: pathOf('v1', 'dead-letters', id),
      answer: deadLetterViewSchema,
    });
    return { json: letter, text: deadLetterText(letter) };
  },
});

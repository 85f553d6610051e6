import { jobViewSchema } from '@millrace/contracts';

import { jobText } from '../core/job-text.ts';
import { defineShown } from './one-thing.ts';

export const getJob = defineShown({
  name: 'jobs get',
  summary: 'Show a job: its state, answer, usage and attempts',
  example: 'millrace jobs get order-1',
  collection: 'jobs',
  answer: jobViewSchema,
  text: jobText,
});

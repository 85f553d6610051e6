import { timelineSchema } from '@millrace/contracts';

import { timelineText } from '../core/timeline-text.ts';
import { defineShown } from './one-thing.ts';

export const getTimeline = defineShown({
  name: 'jobs timeline',
  summary: 'Show what happened to a job: each attempt, step and webhook, and how long it took',
  example: 'millrace jobs timeline order-1',
  collection: 'jobs',
  part: 'timeline',
  answer: timelineSchema,
  text: timelineText,
});

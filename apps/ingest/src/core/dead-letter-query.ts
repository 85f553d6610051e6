import { z } from 'zod';

import { listQuerySchema } from './list-cursor.ts';

/** Characters of a topic's name: Kafka's own limit. */
const topicLengthMax = 249;

/** The query of `GET /v1/dead-letters`. */
export const deadLetterQuerySchema = listQuerySchema
  .pick({ cursor: true, limit: true })
  .extend({
    topic: z.string().min(1).max(topicLengthMax).optional(),
    code: z.string().min(1).max(64).optional(),
    redriven: z.enum(['true', 'false']).optional(),
  });
export type DeadLetterQuery = z.infer<typeof deadLetterQuerySchema>;

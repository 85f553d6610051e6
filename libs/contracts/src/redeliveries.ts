import { z } from 'zod';

import { momentSchema } from './jobs.ts';

/** The body of `POST /v1/redeliveries`: ends from `since` on, before `until`, are told again. */
export const redeliverySubmissionSchema = z
  .strictObject({
    since: momentSchema.describe('At most 29 days ago.'),
    until: momentSchema.optional().describe('Later than `since`; now when it is left out.'),
  })
  .meta({ id: 'RedeliverySubmission' });
export type RedeliverySubmission = z.infer<typeof redeliverySubmissionSchema>;

/** How far a redelivery is. */
export const redeliveryViewSchema = z
  .object({
    id: z.string(),
    state: z.enum(['running', 'done']),
    since: z.iso.datetime(),
    until: z.iso.datetime(),
    /** Events that were published again so far. */
    published: z.int().nonnegative(),
    created_at: z.iso.datetime(),
    finished_at: z.iso.datetime().optional(),
  })
  .meta({ id: 'Redelivery' });
export type RedeliveryView = z.infer<typeof redeliveryViewSchema>;

export const redeliveryListSchema = z
  .object({ data: z.array(redeliveryViewSchema), next_cursor: z.string().nullable() })
  .meta({ id: 'RedeliveryList' });
export type RedeliveryList = z.infer<typeof redeliveryListSchema>;

import { z } from 'zod';

import { jobIdSchema } from './ids.ts';

/** A record that nobody could use, as a list shows it. */
export const deadLetterSummarySchema = z
  .object({
    id: z.string(),
    /** Where the record lay before it became a dead letter. */
    topic: z.string(),
    partition: z.int(),
    offset: z.string(),
    /** The reason: a code of the closed list, as the service that gave up wrote it. */
    code: z.string(),
    detail: z.string(),
    service: z.string(),
    at: z.iso.datetime(),
    /** How often it was redriven, when that was last, and the job that was made of it then. */
    redrive_count: z.int().nonnegative(),
    redriven_at: z.iso.datetime().optional(),
    redrive_job_id: jobIdSchema.optional(),
  })
  .meta({ id: 'DeadLetterSummary' });
export type DeadLetterSummary = z.infer<typeof deadLetterSummarySchema>;

/** Bytes that a caller may read as text when they are UTF-8, and as base64 when they are not. */
export const bytesViewSchema = z
  .object({ encoding: z.enum(['text', 'base64']), data: z.string() })
  .meta({ id: 'Bytes' });
export type BytesView = z.infer<typeof bytesViewSchema>;

/** The same record, whole. */
export const deadLetterViewSchema = deadLetterSummarySchema
  .extend({
    headers: z.record(z.string(), z.string()),
    key: bytesViewSchema.nullable(),
    value: bytesViewSchema.nullable(),
  })
  .meta({ id: 'DeadLetter' });
export type DeadLetterView = z.infer<typeof deadLetterViewSchema>;

export const deadLetterListSchema = z
  .object({ data: z.array(deadLetterSummarySchema), next_cursor: z.string().nullable() })
  .meta({ id: 'DeadLetterList' });
export type DeadLetterList = z.infer<typeof deadLetterListSchema>;

/**
 * `POST /v1/dead-letters/{id}/redrive`. `after` is the `redrive_count` that the caller has seen: a
 * letter is redriven once by any number of requests that say the same.
 */
export const redriveSubmissionSchema = z
  .strictObject({ after: z.int().nonnegative().default(0) })
  .meta({ id: 'RedriveSubmission' });

/** What a redrive came to. */
export const redriveViewSchema = z
  .object({
    dead_letter_id: z.string(),
    redrive_count: z.int().positive(),
    redriven_at: z.iso.datetime(),
    /** The new job; absent when the record itself was published again. */
    job_id: jobIdSchema.optional(),
  })
  .meta({ id: 'Redrive' });
export type RedriveView = z.infer<typeof redriveViewSchema>;

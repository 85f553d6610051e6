import { z } from 'zod';

import { errorCodeSchema, fieldErrorSchema } from './errors.ts';
import { jobIdSchema } from './ids.ts';
import { momentSchema } from './jobs.ts';
import { redriveBatchMax } from './limits.ts';

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

/** Characters of a topic's name: Kafka's own limit. */
const topicLengthMax = 249;

/** Which dead letters are meant: those that fit everything that is said. */
export const deadLetterFilterSchema = z.strictObject({
  topic: z.string().min(1).max(topicLengthMax).optional(),
  code: z.string().min(1).max(64).optional(),
  /** The one that gave up. */
  service: z.string().min(1).max(64).optional(),
  /** Given up at this time or later. */
  from: momentSchema.optional(),
  /** Given up before. */
  to: momentSchema.optional(),
});
export type DeadLetterFilter = z.infer<typeof deadLetterFilterSchema>;

/** `POST /v1/dead-letters:redrive` by what the letters are, oldest first. */
const filteredRedriveSchema = deadLetterFilterSchema.extend({
  /** Those that were redriven, last before this time; without it those that never were. */
  redriven_before: momentSchema.optional(),
  /** `next_cursor` of the answer before. */
  cursor: z.string().max(512).optional(),
  limit: z.int().min(1).max(redriveBatchMax).default(redriveBatchMax),
});

/** The same by name: letters that never were redriven, or just by the same request. */
const namedRedriveSchema = z.strictObject({
  ids: z.array(z.string().min(1).max(64)).min(1).max(redriveBatchMax),
});

export const redriveBatchSchema = z
  .union([namedRedriveSchema, filteredRedriveSchema])
  .meta({ id: 'RedriveBatch' });
export type RedriveBatch = z.infer<typeof redriveBatchSchema>;

/** What became of one letter. */
export const redriveBatchResultSchema = z
  .union([
    z.object({
      id: z.string(),
      status: z.literal(202),
      redrive: redriveViewSchema,
      /** It was redriven before this request, by the same one. */
      replayed: z.literal(true).optional(),
    }),
    z.object({
      id: z.string(),
      /** What `POST /v1/dead-letters/{id}/redrive` would have answered. */
      status: z.int().min(400).max(599),
      error: z.object({
        code: errorCodeSchema,
        detail: z.string(),
        errors: z.array(fieldErrorSchema).optional(),
      }),
    }),
  ])
  .meta({ id: 'RedriveBatchResult' });
export type RedriveBatchResult = z.infer<typeof redriveBatchResultSchema>;

/** A result for each letter that was come to, in order. */
export const redriveBatchAnswerSchema = z
  .object({
    results: z.array(redriveBatchResultSchema),
    /** There are letters that this request did not come to: ask again for the rest. */
    more: z.boolean(),
    /** Where the rest begins, when they were not named. */
    next_cursor: z.string().nullable(),
    /** Letters of this time and later are left alone: say it as `to` when you ask for the rest. */
    to: z.iso.datetime(),
  })
  .meta({ id: 'RedriveBatchAnswer' });
export type RedriveBatchAnswer = z.infer<typeof redriveBatchAnswerSchema>;

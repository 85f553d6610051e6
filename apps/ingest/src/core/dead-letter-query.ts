import {
  deadLetterFilterSchema,
  type DeadLetterFilter,
  type RedriveBatch,
} from '@millrace/contracts';
import { z } from 'zod';

import { decodeCursor, listQuerySchema, type ListCursor } from './list-cursor.ts';
import { ProblemError } from './problem.ts';

/** The query of `GET /v1/dead-letters`. */
export const deadLetterQuerySchema = listQuerySchema
  .pick({ cursor: true, limit: true })
  .extend(deadLetterFilterSchema.shape)
  .extend({ redriven: z.enum(['true', 'false']).optional() });
export type DeadLetterQuery = z.infer<typeof deadLetterQuerySchema>;

/** Which letters a bulk redrive looks for, oldest first. */
export interface RedriveSearch {
  readonly filter: DeadLetterFilter & { readonly to: string };
  /** Those that were redriven, last before; null for those that never were. */
  readonly redrivenBefore: string | null;
  /** The last letter that was come to. */
  readonly after: ListCursor | null;
  readonly limit: number;
}

/**
 * A bulk redrive ends before what its own letters come to, if they fail again: later than `now`
 * there is nothing for it.
 * @throws ProblemError for a cursor that no answer gave.
 */
export function redriveSearchOf(
  asked: Exclude<RedriveBatch, { ids: string[] }>,
  now: Date,
): RedriveSearch {
  const { cursor, limit, redriven_before: redrivenBefore, ...filter } = asked;
  const after = cursor === undefined ? null : decodeCursor(cursor);
  if (cursor !== undefined && after === null) {
    const errors = [{ path: 'cursor', message: 'is not a cursor of this answer' }];
    throw new ProblemError('invalid_request', 'a field is wrong', errors);
  }
  const asIs = filter.to === undefined ? now.getTime() : Date.parse(filter.to);
  const to = new Date(Math.min(asIs, now.getTime())).toISOString();
  return { filter: { ...filter, to }, redrivenBefore: redrivenBefore ?? null, after, limit };
}

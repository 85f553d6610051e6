import {
  jobListLimitDefault,
  jobListLimitMax,
  jobStatusSchema,
  jobTypeSchema,
  sessionIdSchema,
} from '@millrace/contracts';
import { z } from 'zod';

/** The place after which a page begins: newest first, the id breaks ties. */
export interface ListCursor {
  readonly createdAtMs: number;
  readonly id: string;
}

const cursorSchema = z.tuple([z.int().nonnegative(), z.string().min(1).max(128)]);

/** An opaque text for the next page's query. */
export function encodeCursor(cursor: ListCursor): string {
  return Buffer.from(JSON.stringify([cursor.createdAtMs, cursor.id])).toString('base64url');
}

/** @returns null for a text that no page gave. */
export function decodeCursor(text: string): ListCursor | null {
  try {
    const parsed = cursorSchema.safeParse(
      JSON.parse(Buffer.from(text, 'base64url').toString('utf8')),
    );
    if (!parsed.success) return null;
    const [createdAtMs, id] = parsed.data;
    return createdAtMs <= timeMsMax ? { createdAtMs, id } : null;
  } catch {
    return null;
  }
}

/** A page as lists answer it, of what was found: the page's rows and one more, if there is one. */
export function pageOf<Row extends { readonly id: string }>(
  found: readonly Row[],
  limit: number,
  createdAtMsOf: (row: Row) => number,
): { data: Row[]; next_cursor: string | null } {
  const data = found.slice(0, limit);
  const last = found.length > limit ? data.at(-1) : undefined;
  const next_cursor =
    last === undefined ? null : encodeCursor({ createdAtMs: createdAtMsOf(last), id: last.id });
  return { data, next_cursor };
}

/** The last moment that a JavaScript date can hold. */
const timeMsMax = 8.64e15;

const cursorParameter = z.string().max(512).transform((text, context) => {
  const cursor = decodeCursor(text);
  if (cursor !== null) return cursor;
  context.addIssue({ code: 'custom', message: 'is not a cursor of this list' });
  return z.NEVER;
});

/** The query of `GET /v1/jobs`. */
export const listQuerySchema = z.strictObject({
  status: jobStatusSchema.optional(),
  type: jobTypeSchema.optional(),
  session_id: sessionIdSchema.optional(),
  cursor: cursorParameter.optional(),
  limit: z
    .string()
    .regex(/^\d{1,4}$/, 'must be a number')
    .transform(Number)
    .pipe(z.int().min(1).max(jobListLimitMax))
    .default(jobListLimitDefault),
});
export type ListQuery = z.infer<typeof listQuerySchema>;

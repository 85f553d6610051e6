import { documentTypes } from '@millrace/contracts';
import { z } from 'zod';

import { listQuerySchema } from './list-cursor.ts';
import { ProblemError } from './problem.ts';

/** The query of `POST /v1/documents`. */
export const uploadQuerySchema = z.strictObject({ name: z.string().min(1).max(255).optional() });

/** The query of `GET /v1/documents`. */
export const documentQuerySchema = listQuerySchema.pick({ cursor: true, limit: true });
export type DocumentQuery = z.infer<typeof documentQuerySchema>;

/**
 * The type that a request says, without its parameters.
 * @throws ProblemError for what no text is taken out of, before a byte of it is read.
 */
export function documentTypeOf(header: string | undefined): string {
  const [name = ''] = (header ?? '').split(';');
  const type = name.trim().toLowerCase();
  if (documentTypes.includes(type)) return type;
  const detail = `a document is one of ${documentTypes.join(', ')}`;
  throw new ProblemError('unsupported_media_type', detail);
}

import { z } from 'zod';

import { listQuerySchema } from './list-cursor.ts';
import { ProblemError } from './problem.ts';

/** What text is taken out of; others are refused before a byte of them is read. */
export const documentTypes: readonly string[] = [
  'text/plain',
  'text/markdown',
  'text/html',
  'application/xhtml+xml',
  'application/pdf',
];

/** The query of `POST /v1/documents`. */
export const uploadQuerySchema = z.strictObject({ name: z.string().min(1).max(255).optional() });

/** The query of `GET /v1/documents`. */
export const documentQuerySchema = listQuerySchema.pick({ cursor: true, limit: true });
export type DocumentQuery = z.infer<typeof documentQuerySchema>;

/** The type that a request says, without its parameters. @throws ProblemError for any other. */
export function documentTypeOf(header: string | undefined): string {
  const [name = ''] = (header ?? '').split(';');
  const type = name.trim().toLowerCase();
  if (documentTypes.includes(type)) return type;
  const detail = `a document is one of ${documentTypes.join(', ')}`;
  throw new ProblemError('unsupported_media_type', detail);
}

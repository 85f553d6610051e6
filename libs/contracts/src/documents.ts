import { z } from 'zod';

/** How a document is read. */
export type DocumentForm = 'text' | 'html' | 'pdf';

/** Types that text is taken out of, and how. */
export const documentForms: ReadonlyMap<string, DocumentForm> = new Map([
  ['text/plain', 'text'],
  ['text/markdown', 'text'],
  ['text/x-markdown', 'text'],
  ['text/html', 'html'],
  ['application/xhtml+xml', 'html'],
  ['application/pdf', 'pdf'],
]);
export const documentTypes: readonly string[] = [...documentForms.keys()];

/** An uploaded document. */
export const documentIdSchema = z.string().regex(/^doc_[0-9A-HJKMNP-TV-Z]{26}$/);

export const documentViewSchema = z
  .object({
    id: documentIdSchema,
    /** As the request called it. */
    name: z.string().optional(),
    content_type: z.string(),
    bytes: z.int().nonnegative(),
    sha256: z.string(),
    created_at: z.iso.datetime(),
    /** It is kept until then; jobs that began before have its text. */
    expires_at: z.iso.datetime(),
  })
  .meta({ id: 'Document' });
export type DocumentView = z.infer<typeof documentViewSchema>;

export const documentListSchema = z
  .object({ data: z.array(documentViewSchema), next_cursor: z.string().nullable() })
  .meta({ id: 'DocumentList' });
export type DocumentList = z.infer<typeof documentListSchema>;

/** Bytes of one piece of a document in `blobs`: what is in memory of an upload, or a row. */
export const documentPieceBytes = 1024 * 1024;

/** What a document is made of: the last that an upload writes, and the first that is read of it. */
export const documentManifestSchema = z.object({
  content_type: z.string(),
  bytes: z.int().nonnegative(),
  sha256: z.string(),
  pieces: z.int().nonnegative(),
});
export type DocumentManifest = z.infer<typeof documentManifestSchema>;

export function documentManifestRef(id: string): string {
  return `blob_${id}.manifest`;
}

/** @param index from 0 */
export function documentPieceRef(id: string, index: number): string {
  return `blob_${id}.${index}`;
}

import { documentForms, type DocumentForm, type ErrorCode } from '@millrace/contracts';

/** A document's text, or why there is none. */
export type ExtractedText =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly code: ErrorCode; readonly detail: string };

/**
 * How to read a document that is said to be of a type. A PDF is one whatever is said of it; what
 * nobody says anything of, or only that it is bytes, is text if it is UTF-8. Null: not taken.
 */
export function formOf(contentType: string | undefined, bytes: Buffer): DocumentForm | null {
  if (bytes.subarray(0, 5).toString('latin1') === '%PDF-') return 'pdf';
  const [type = ''] = (contentType ?? '').split(';');
  const name = type.trim().toLowerCase();
  if (name === '' || name === 'application/octet-stream') return 'text';
  return documentForms.get(name) ?? null;
}

import type { DocumentView } from '@millrace/contracts';

import { fields } from './table.ts';

/** A document as a person reads it. */
export function documentText(document: DocumentView): string {
  return fields({
    id: document.id,
    name: document.name,
    type: document.content_type,
    bytes: document.bytes,
    sha256: document.sha256,
    made: document.created_at,
    expires: document.expires_at,
  });
}

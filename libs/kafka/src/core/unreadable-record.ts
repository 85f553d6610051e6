import { assertNever } from '@millrace/contracts';

import type { BadRecord } from './decode.ts';

/** Why a client hands on what it cannot read: as packed bytes, or without its headers. */
export type UnreadableReason = 'too_large' | 'damaged' | 'too_many_headers';

/** What is told of a record that the client could not read. */
export function unreadableRecord(reason: UnreadableReason): BadRecord {
  switch (reason) {
    case 'too_large':
      return bad('payload_too_large', 'the batch unpacks to too much; here are its packed records');
    case 'damaged':
      return bad('unreadable_batch', 'the batch cannot be unpacked; here are its packed records');
    case 'too_many_headers':
      return bad('payload_too_large', 'the record has too many headers, which are left out here');
    default:
      return assertNever(reason);
  }
}

function bad(code: BadRecord['code'], detail: string): BadRecord {
  return { kind: 'bad', code, detail };
}

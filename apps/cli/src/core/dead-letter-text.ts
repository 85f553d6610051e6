import type { BytesView, DeadLetterView } from '@millrace/contracts';

import { fields, printable } from './table.ts';

/** A dead letter as a person reads it: why, where, and the record itself. */
export function deadLetterText(letter: DeadLetterView): string {
  const about = fields({
    id: letter.id,
    reason: `${letter.code}: ${letter.detail}`,
    'given up by': letter.service,
    topic: `${letter.topic}, partition ${letter.partition}, offset ${letter.offset}`,
    at: letter.at,
    redriven: redriveText(letter),
    key: bytesText(letter.key),
  });
  const headers = fields(letter.headers);
  return [about, headers, printable(bytesText(letter.value))]
    .filter((part) => part !== '')
    .join('\n\n');
}

function bytesText(bytes: BytesView | null): string {
  if (bytes === null) return '(none)';
  return bytes.encoding === 'text' ? bytes.data : `base64 ${bytes.data}`;
}

function redriveText(letter: DeadLetterView): string | undefined {
  const { redrive_count: count, redriven_at: at, redrive_job_id: job } = letter;
  if (at === undefined) return undefined;
  return `${count} times, last at ${at}${job === undefined ? '' : ` as ${job}`}`;
}

import { deadLetterHeaders, errorCodes } from '@millrace/contracts';

import type { RecordPlace } from './delivery.ts';
import type { DeadCode } from './outcome.ts';

/** The headers that a dead delivery's record gets beside its own. */
export function deadLetterHeadersOf(
  { topic, partition, offset }: RecordPlace,
  death: { readonly code: DeadCode; readonly attempts: number; readonly at: Date },
): Record<string, string> {
  return {
    [deadLetterHeaders.reason]: death.code,
    [deadLetterHeaders.detail]: errorCodes[death.code].title,
    [deadLetterHeaders.topic]: topic,
    [deadLetterHeaders.partition]: String(partition),
    [deadLetterHeaders.offset]: offset,
    [deadLetterHeaders.service]: 'webhook-dispatcher',
    [deadLetterHeaders.attempts]: String(death.attempts),
    [deadLetterHeaders.at]: death.at.toISOString(),
  };
}

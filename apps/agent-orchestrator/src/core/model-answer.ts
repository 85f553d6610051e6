import type { ClaudeCompleted } from '@millrace/contracts';
import { z } from 'zod';

import { nothing } from './agent-budget.ts';
import type { Amount } from './agent-budget.ts';

/** Of a Messages object what every reader of one needs. */
export const messageSchema = z.looseObject({
  content: z.array(z.looseObject({ type: z.string() })),
  stop_reason: z.string(),
});
export type Message = z.infer<typeof messageSchema>;

export function textIn({ content }: Message): string {
  return content
    .map(({ type, text }) => (type === 'text' && typeof text === 'string' ? text : ''))
    .join('');
}

/** How a model call ended, and what it cost. */
export interface CompletedCall {
  readonly data: ClaudeCompleted;
  readonly costMicros: number;
}

/** An answer counts as it says; a call that may have been paid unseen, at its most. */
export function spentBy({ data, costMicros }: CompletedCall, held: Amount): Amount {
  const { usage } = data;
  if (usage) {
    const written = usage.cache_creation_input_tokens ?? 0;
    const tokens = usage.input_tokens + written + usage.output_tokens;
    return { ...nothing, micros: costMicros, tokens, iterations: 1 };
  }
  const maybePaid =
    data.outcome === 'answered' || data.attempts.some(({ outcome }) => outcome === 'unknown');
  return maybePaid ? held : { ...nothing, iterations: 1 };
}

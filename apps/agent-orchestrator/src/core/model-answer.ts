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

/**
 * An answer counts as it says, and at its most where it says nothing. So does each attempt that may
 * have been paid unseen: what was held is for one of them.
 */
export function spentBy(call: CompletedCall, held: Amount): Amount {
  const unseen = call.data.attempts.filter(({ outcome }) => outcome === 'unknown').length;
  const answered = answerOf(call, held);
  return {
    ...nothing,
    micros: answered.micros + unseen * held.micros,
    tokens: answered.tokens + unseen * held.tokens,
    iterations: 1,
  };
}

function answerOf(
  { data, costMicros }: CompletedCall,
  held: Amount,
): Pick<Amount, 'micros' | 'tokens'> {
  const { outcome, usage } = data;
  if (usage === undefined) return outcome === 'answered' ? held : nothing;
  const written = usage.cache_creation_input_tokens ?? 0;
  return { micros: costMicros, tokens: usage.input_tokens + written + usage.output_tokens };
}

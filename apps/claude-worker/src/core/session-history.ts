import type { CallParams } from './call.ts';
import { type ClaudeMessage, isCutShort } from './claude-message.ts';

/**
 * Bytes of a conversation that is sent again with each turn. Above what the largest context
 * windows hold as text, and far below what a request may have (32 MB).
 */
export const sessionBytesMax = 8 * 1024 * 1024;

/** A turn's own messages, or none when the parameters have none. */
function messagesIn(params: CallParams): readonly unknown[] {
  const messages = params['messages'];
  return Array.isArray(messages) ? messages : [];
}

/** What a turn sends: the conversation so far, then its own messages. */
export function withHistory(params: CallParams, history: readonly unknown[]): CallParams {
  if (history.length === 0) return params;
  return { ...params, messages: [...history, ...messagesIn(params)] };
}

/**
 * Says whether an answer was cut off while it asked for a tool: nobody knows all of what it asked,
 * and a conversation with it could not go on.
 */
export function isCutInToolUse(message: ClaudeMessage): boolean {
  return isCutShort(message) && message.content.at(-1)?.type === 'tool_use';
}

/** What a turn that succeeded adds to the conversation; the answer goes in unmodified. */
export function turnMessages(params: CallParams, answer: ClaudeMessage): readonly unknown[] {
  const own = messagesIn(params);
  // The API refuses a message without content.
  if (answer.content.length === 0) return own;
  return [...own, { role: 'assistant', content: answer.content }];
}

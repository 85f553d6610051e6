import { messageParamsSchema } from '@millrace/contracts';

import { isRecord } from './canonical-json.ts';
import { fieldErrors, type FieldError } from './field-error.ts';

/** Tokens of an answer when the caller names no limit: a long page, at a bounded price. */
export const maxTokensDefault = 8_192;

/** Sampling parameters that the API of 2026-10-21 answers with 400. */
const refusedParams = ['temperature', 'top_p', 'top_k'] as const;

export type Preflight =
  | {
      readonly ok: true;
      /** Complete and without `stream`, ready to be sent. */
      readonly params: Readonly<Record<string, unknown>>;
      readonly model: string;
      readonly stream: boolean;
    }
  | { readonly ok: false; readonly errors: readonly FieldError[] };

/**
 * Finds what the model would refuse before money is spent, and fills in what it demands.
 * Knows only rules that hold for every model; anything else is Claude's to judge.
 */
export function preflight(
  given: Readonly<Record<string, unknown>>,
  o: { readonly defaultModel: string },
): Preflight {
  const parsed = messageParamsSchema.safeParse(given);
  if (!parsed.success) return { ok: false, errors: prefixed(fieldErrors(parsed.error)) };
  const { stream, ...rest } = parsed.data;
  const errors = [
    ...refusedParamErrors(rest),
    ...modelErrors(rest.model),
    ...messagesErrors(rest.messages),
  ];
  if (errors.length > 0) return { ok: false, errors: prefixed(errors) };
  const model = rest.model ?? o.defaultModel;
  const params = { ...rest, model, max_tokens: rest.max_tokens ?? maxTokensDefault };
  return { ok: true, params, model, stream: stream ?? false };
}

type Message = Readonly<Record<string, unknown>> & { readonly role: string };

/** Errors of the parameters as errors of the submission. */
export function prefixed(errors: readonly FieldError[]): FieldError[] {
  return errors.map(({ path, message }) => ({
    path: path === '' ? 'params' : `params.${path}`,
    message,
  }));
}

function refusedParamErrors(params: Readonly<Record<string, unknown>>): FieldError[] {
  return refusedParams
    .filter((name) => params[name] !== undefined)
    .map((name) => ({ path: name, message: 'is refused by the Messages API since 2026-10-21' }));
}

/** A model's name becomes a column and a span's name: printable, without spaces. */
export function modelErrors(model: string | undefined): FieldError[] {
  if (model === undefined || /^[\x21-\x7e]+$/.test(model)) return [];
  return [{ path: 'model', message: 'must be printable characters without spaces' }];
}

function messagesErrors(messages: readonly Message[]): FieldError[] {
  const errors: FieldError[] = [];
  if (messages[0]?.role !== 'user') {
    errors.push({ path: 'messages.0.role', message: 'the first message must be of role user' });
  }
  messages.forEach((message, index) => {
    const path = `messages.${index}.content`;
    const isLast = index === messages.length - 1;
    errors.push(...contentErrors(message, { path, isLast }));
    errors.push(...toolErrors(message, { path, before: messages[index - 1] }));
  });
  const last = messages.at(-1);
  if (last !== undefined && toolUseIds(last).length > 0) {
    const path = `messages.${messages.length - 1}.content`;
    errors.push({ path, message: 'a tool_use needs its tool_result in the next message' });
  }
  return errors;
}

function contentErrors(
  message: Message,
  at: { readonly path: string; readonly isLast: boolean },
): FieldError[] {
  const { content } = message;
  if (typeof content !== 'string' && !Array.isArray(content)) {
    return [{ path: at.path, message: 'must be a text or a list of blocks' }];
  }
  if (content.length === 0) {
    // Only an assistant's last turn may be empty.
    const mayBeEmpty = at.isLast && message.role === 'assistant';
    return mayBeEmpty ? [] : [{ path: at.path, message: 'must not be empty' }];
  }
  return typeof content === 'string' ? [] : blockErrors(content, { ...at, role: message.role });
}

function blockErrors(
  blocks: readonly unknown[],
  at: { readonly path: string; readonly role: string },
): FieldError[] {
  return blocks.flatMap((block, index) => {
    const path = `${at.path}.${index}`;
    if (!isRecord(block) || typeof block['type'] !== 'string') {
      return [{ path, message: 'must be a block with a type' }];
    }
    if (at.role === 'assistant' && block['type'] === 'document') {
      return [{ path, message: 'a document is refused directly in an assistant message' }];
    }
    return [];
  });
}

/** All results of a turn come in the next user message, before any text. */
function toolErrors(
  message: Message,
  at: { readonly path: string; readonly before: Message | undefined },
): FieldError[] {
  const asked = at.before === undefined ? [] : toolUseIds(at.before);
  const types = blocksOf(message).map((block) => block['type']);
  const answered = blocksOf(message)
    .filter((block) => block['type'] === 'tool_result')
    .map((block) => block['tool_use_id']);
  const errors: FieldError[] = [];
  if (asked.some((id) => !answered.includes(id))) {
    errors.push({ path: at.path, message: 'a tool_use of the message before has no tool_result' });
  }
  // The first message of a session's turn answers what the session holds, which is not seen here.
  if (at.before !== undefined && answered.some((id) => !asked.includes(id))) {
    errors.push({ path: at.path, message: 'a tool_result answers no tool_use' });
  }
  if (types.includes('text') && types.lastIndexOf('tool_result') > types.indexOf('text')) {
    errors.push({ path: at.path, message: 'tool_results come before any text' });
  }
  return errors;
}

function toolUseIds(message: Message): unknown[] {
  if (message.role !== 'assistant') return [];
  return blocksOf(message)
    .filter((block) => block['type'] === 'tool_use')
    .map((block) => block['id']);
}

function blocksOf(message: Message): Record<string, unknown>[] {
  const { content } = message;
  return Array.isArray(content) ? content.filter(isRecord) : [];
}

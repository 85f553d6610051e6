/** What the stand-in answers, as the Messages API's object and as the events of its stream. */
import { randomUUID } from 'node:crypto';

import { answerTo, closing, quoteOf } from './answer.mjs';
import { lastResultsOf, questionOf, textsOf } from './conversation.mjs';
import { uncached } from './prompt-cache.mjs';
import { tokensOf } from './tokens.mjs';

/** Characters of a streamed event: a few words, as a model's are. */
const eventCharacters = 14;
/** What a tool was to be asked when the answer was cut off: no JSON yet. */
const cutInput = '{"cut": "off in the middle of';

/**
 * @typedef {import('./conversation.mjs').Request} Request
 * @typedef {import('./conversation.mjs').Block} Block
 * @typedef {import('./prompt-cache.mjs').CachedPrompt} CachedPrompt
 * @typedef {import('./script.mjs').Step} Step
 * @typedef {{ content: Block[], stop_reason: string, stop_details?: unknown }} Answer
 * @typedef {ReturnType<typeof messageFor>} Message
 * @typedef {{ type: string, [field: string]: unknown }} StreamEvent
 */

/**
 * @param {Request} request
 * @param {Step | undefined} step what its script wants
 * @param {CachedPrompt} cached what of its prompt is read or written
 */
export function messageFor(request, step, cached = uncached) {
  const answer = answerOf(request, step);
  return {
    id: `msg_${idOf()}`,
    type: 'message',
    role: 'assistant',
    model: request.model,
    ...answer,
    stop_sequence: null,
    usage: usageOf(request, answer, cached),
  };
}

/**
 * @param {Request} request
 * @param {Answer} answer
 * @param {CachedPrompt} cached
 */
function usageOf({ messages, system, tools }, answer, { readTokens, writtenTokens }) {
  const written = writtenTokens['5m'] + writtenTokens['1h'];
  const whole = tokensOf(readable({ system, tools, messages }));
  return {
    // The uncached rest.
    input_tokens: Math.max(0, whole - readTokens - written),
    cache_creation_input_tokens: written,
    cache_read_input_tokens: readTokens,
    cache_creation: {
      ephemeral_5m_input_tokens: writtenTokens['5m'],
      ephemeral_1h_input_tokens: writtenTokens['1h'],
    },
    output_tokens: tokensOf(readable(answer.content)),
  };
}

/** @param {Request} request @param {Step | undefined} step @returns {Answer} */
function answerOf(request, step) {
  switch (step?.kind) {
    case undefined:
      return { content: [text(finalTextOf(request))], stop_reason: 'end_turn' };
    case 'tools': {
      const asked = step.calls.map(({ name, input }) => toolUse(name, input));
      const names = step.calls.map(({ name }) => name).join(' and ');
      return { content: [text(`I ask ${names}.`), ...asked], stop_reason: 'tool_use' };
    }
    case 'pause_turn':
      return { content: [text('I pause here, and go on when asked.')], stop_reason: 'pause_turn' };
    case 'refusal':
      return {
        content: [text('I would rather')],
        stop_reason: 'refusal',
        stop_details: { type: 'refusal', category: 'other', explanation: 'as it was asked to' },
      };
    case 'cut':
      return {
        content: [text(`I ask ${step.tool}.`), toolUse(step.tool, {})],
        stop_reason: 'max_tokens',
      };
  }
}

/** @param {Request} request */
function finalTextOf(request) {
  const results = lastResultsOf(request);
  if (results.length === 0) return answerTo(questionOf(request));
  const quotes = results.map(({ content, is_error: isError }) => {
    const quote = quoteOf(textsOf(content).join('\n'));
    return isError === true ? `${quote} (an error)` : quote;
  });
  return `The tools said ${quotes.join(', ')}.${closing}`;
}

/** @param {string} content */
const text = (content) => ({ type: 'text', text: content });

/** @param {string} name @param {Record<string, unknown>} input */
const toolUse = (name, input) => ({ type: 'tool_use', id: `toolu_${idOf()}`, name, input });

const idOf = () => randomUUID().replaceAll('-', '').slice(0, 24);

/** @param {unknown} value */
const readable = (value) => (value === undefined ? '' : JSON.stringify(value));

/** @param {Message} message @returns {StreamEvent[]} */
export function eventsOf(message) {
  const { content, stop_reason, stop_sequence, stop_details, usage, ...rest } = message;
  const begun = { ...rest, content: [], stop_reason: null, stop_sequence, usage };
  const isCut = stop_reason === 'max_tokens';
  return [
    { type: 'message_start', message: { ...begun, usage: { ...usage, output_tokens: 1 } } },
    ...content.flatMap((block, index) => blockEvents(block, index, isCut)),
    {
      type: 'message_delta',
      delta: {
        stop_reason,
        stop_sequence,
        ...(stop_details === undefined ? {} : { stop_details }),
      },
      usage,
    },
    { type: 'message_stop' },
  ];
}

/** @param {Block} block @param {number} index @param {boolean} isCut @returns {StreamEvent[]} */
function blockEvents(block, index, isCut) {
  const isText = block.type === 'text';
  const input = isCut ? cutInput : JSON.stringify(block['input']);
  const pieces = piecesOf(isText ? String(block['text']) : input).map((piece) =>
    isText
      ? { type: 'text_delta', text: piece }
      : { type: 'input_json_delta', partial_json: piece },
  );
  const opened = isText ? { ...block, text: '' } : { ...block, input: {} };
  return [
    { type: 'content_block_start', index, content_block: opened },
    ...pieces.map((delta) => ({ type: 'content_block_delta', index, delta })),
    { type: 'content_block_stop', index },
  ];
}

/** @param {string} whole */
function piecesOf(whole) {
  const count = Math.ceil(whole.length / eventCharacters);
  return Array.from({ length: count }, (_, n) =>
    whole.slice(n * eventCharacters, (n + 1) * eventCharacters),
  );
}

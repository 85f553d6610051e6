/**
 * What the Claude stand-in is asked. It refuses what the API refuses, so that a conversation that
 * the real one would not take is found without a key. The wording is for people; what is branched
 * on is the status and the error's type.
 */
import { z } from 'zod';

const blockSchema = z.looseObject({ type: z.string() });
const messageSchema = z.object({
  role: z.enum(['user', 'assistant']),
  content: z.union([z.string(), z.array(blockSchema)]),
});
const requestSchema = z.looseObject({
  model: z.string().min(1),
  max_tokens: z.int().positive(),
  messages: z.array(messageSchema).min(1),
  stream: z.boolean().optional(),
  system: z.union([z.string(), z.array(blockSchema)]).optional(),
  tools: z.array(z.looseObject({ name: z.string().optional() })).optional(),
});

/** Marks for the cache in one prompt. */
const cacheMarksMax = 4;

/**
 * @typedef {z.infer<typeof blockSchema>} Block
 * @typedef {z.infer<typeof messageSchema>} Message
 * @typedef {z.infer<typeof requestSchema>} Request
 * @typedef {{ role: Message['role'], blocks: Block[] }} Turn
 */

/**
 * @param {unknown} body
 * @returns {{ request: Request, refusal?: undefined } | { refusal: string, request?: undefined }}
 */
export function readRequest(body) {
  const read = requestSchema.safeParse(body);
  if (!read.success) {
    const [issue] = read.error.issues;
    return { refusal: `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not understood'}` };
  }
  const refusal = refusalOf(read.data);
  return refusal === undefined ? { request: read.data } : { refusal };
}

/** @param {Request} request @returns {string | undefined} */
function refusalOf(request) {
  const { messages, tools } = request;
  const marks = promptBlocksOf(request).filter(({ block }) => block['cache_control'] != null);
  if (marks.length > cacheMarksMax) {
    return `A maximum of ${cacheMarksMax} blocks with cache_control may be provided.`;
  }
  const names = (tools ?? []).map(({ name }) => name);
  if (new Set(names).size < names.length) return 'tools: Tool names must be unique.';
  if (messages[0]?.role !== 'user') return 'messages: first message must use the "user" role';
  const empty = messages.findIndex(
    ({ content, role }, i) =>
      content.length === 0 && (role === 'user' || i < messages.length - 1),
  );
  if (empty >= 0) return `messages.${empty}: all messages must have non-empty content`;
  return toolRefusalOf(turnsOf(messages));
}

/** @param {readonly Turn[]} turns @returns {string | undefined} */
function toolRefusalOf(turns) {
  const seen = new Set();
  for (const [i, turn] of turns.entries()) {
    const refusal =
      turn.role === 'user'
        ? resultsRefusalOf(turn, turns[i - 1])
        : usesRefusalOf(turn, turns[i + 1]);
    if (refusal !== undefined) return `messages.${i}: ${refusal}`;
    for (const id of toolUsesIn(turn)) {
      if (seen.has(id)) return `messages.${i}: \`tool_use\` ids must be unique: ${id}`;
      seen.add(id);
    }
  }
  return undefined;
}

/** @param {Turn} turn @param {Turn | undefined} next @returns {string | undefined} */
function usesRefusalOf(turn, next) {
  const after = next?.blocks ?? [];
  const firstOther = after.findIndex(({ type }) => type !== 'tool_result');
  const results = firstOther < 0 ? after : after.slice(0, firstOther);
  const answered = new Set(results.map((block) => block['tool_use_id']));
  const open = toolUsesIn(turn).filter((id) => !answered.has(id));
  if (open.length === 0) return undefined;
  return (
    '`tool_use` ids were found without `tool_result` blocks immediately after: ' +
    `${open.join(', ')}. Each \`tool_use\` block must have a corresponding \`tool_result\` block ` +
    'in the next message.'
  );
}

/** @param {Turn} turn @param {Turn | undefined} before @returns {string | undefined} */
function resultsRefusalOf(turn, before) {
  const asked = new Set(before === undefined ? [] : toolUsesIn(before));
  for (const { tool_use_id: id, type } of turn.blocks) {
    if (type !== 'tool_result') continue;
    // What was answered is not asked any more: a second result is as unexpected as a foreign one.
    if (asked.delete(id)) continue;
    return (
      `unexpected \`tool_use_id\` found in \`tool_result\` blocks: ${String(id)}. Each ` +
      '`tool_result` block must have a corresponding `tool_use` block in the previous message.'
    );
  }
  return undefined;
}

/**
 * Messages of one role that follow each other are one turn.
 *
 * @param {readonly Message[]} messages
 */
function turnsOf(messages) {
  /** @type {Turn[]} */
  const turns = [];
  for (const { content, role } of messages) {
    const last = turns.at(-1);
    if (last?.role === role) last.blocks.push(...blocksOf(content));
    else turns.push({ role, blocks: blocksOf(content) });
  }
  return turns;
}

/** @param {Turn} turn @returns {unknown[]} */
const toolUsesIn = ({ blocks }) =>
  blocks.filter(({ type }) => type === 'tool_use').map((block) => block['id']);

/** @param {Message['content']} content @returns {Block[]} */
const blocksOf = (content) =>
  typeof content === 'string' ? [{ type: 'text', text: content }] : [...content];

/**
 * All of a prompt, in the order in which it is cached.
 *
 * @param {Request} request
 * @returns {{ place: string, block: Record<string, unknown> }[]}
 */
export function promptBlocksOf({ messages, system = [], tools = [] }) {
  return [
    ...tools.map((block) => ({ place: 'tools', block })),
    ...blocksOf(system).map((block) => ({ place: 'system', block })),
    ...messages.flatMap(({ content, role }) =>
      blocksOf(content).map((block) => ({ place: role, block })),
    ),
  ];
}

/** @param {unknown} content of a message, or of a tool's result @returns {string[]} */
export function textsOf(content) {
  if (typeof content === 'string') return [content];
  if (!Array.isArray(content)) return [];
  return content.flatMap((/** @type {unknown} */ block) => {
    const { data } = textSchema.safeParse(block);
    return data === undefined ? [] : [data.text];
  });
}

const textSchema = z.object({ type: z.literal('text'), text: z.string() });

/**
 * What the user said last, and how often: results of tools say nothing.
 *
 * @param {Request} request
 */
export function questionOf({ messages }) {
  const said = messages
    .filter(({ role }) => role === 'user')
    .map(({ content }) => textsOf(content).join('\n'))
    .filter((text, i) => text !== '' || i === 0);
  return { prompt: said.at(-1) ?? '', turn: said.length };
}

/** @param {Request} request @returns {string} the last text of the first message */
export const openingOf = ({ messages }) => textsOf(messages[0]?.content).at(-1) ?? '';

/** @param {Request} request @returns {Block[]} results of tools that nothing was said to yet */
export function lastResultsOf({ messages }) {
  const last = messages.at(-1);
  if (last?.role !== 'user') return [];
  return blocksOf(last.content).filter(({ type }) => type === 'tool_result');
}

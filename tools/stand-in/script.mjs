/**
 * What the stand-in plays when the first message of a conversation asks for it: tests of agents do.
 *
 *   [[tool:NAME {"json": "arguments"}]]           it asks for this tool
 *   [[tool:NAME {…} && NAME {…}]]                 for several at once
 *   [[stop:pause_turn]]  [[stop:refusal]]         it stops so
 *   [[stop:max_tokens_tool NAME]]                 it is cut off while it asks for the tool, once
 *
 * Several markers are played one turn after another, and then it quotes what the tools said. How
 * far a script is, the conversation itself says: by what the assistant said in it. Only an answer
 * that was cut off is in no conversation, so that these are counted for each prompt.
 */
import { openingOf } from './conversation.mjs';

/**
 * @typedef {{ name: string, input: Record<string, unknown> }} ToolCall
 * @typedef {{ kind: 'tools', calls: ToolCall[] }} ToolStep
 * @typedef {{ kind: 'pause_turn' } | { kind: 'refusal' } | { kind: 'cut', tool: string }} StopStep
 * @typedef {ToolStep | StopStep} Step
 */

/** Prompts whose cut answers are remembered; the oldest are forgotten. */
const promptsMax = 10_000;

export class Script {
  /** Cut answers that were played, by prompt. @type {Map<string, number>} */
  #played = new Map();

  /**
   * @param {import('./conversation.mjs').Request} request
   * @returns {Step | undefined} to be played now; undefined: nothing, or nothing more
   */
  next(request) {
    const opening = openingOf(request);
    const steps = stepsOf(opening);
    if (steps.length === 0) return undefined;
    const said = request.messages.filter(({ role }) => role === 'assistant').length;
    const played = this.#played.get(opening) ?? 0;
    let [cuts, others] = [0, 0];
    for (const step of steps) {
      if (step.kind === 'cut') {
        cuts += 1;
        if (others === said && cuts > played) return this.#play(opening, cuts, step);
        continue;
      }
      if (others === said) return step;
      others += 1;
    }
    return undefined;
  }

  /** @param {string} opening @param {number} cuts @param {Step} step */
  #play(opening, cuts, step) {
    this.#played.set(opening, cuts);
    const oldest = this.#played.keys().next();
    if (this.#played.size > promptsMax && !oldest.done) this.#played.delete(oldest.value);
    return step;
  }
}

/** @param {string} text @returns {Step[]} */
export function stepsOf(text) {
  /** @type {Step[]} */
  const steps = [];
  let at = 0;
  for (;;) {
    const start = /\[\[(tool|stop):/g;
    start.lastIndex = at;
    const found = start.exec(text);
    if (found === null) return steps;
    at = start.lastIndex;
    const read = found[1] === 'tool' ? readTools(text, at) : readStop(text, at);
    // What cannot be read is text.
    if (read === undefined) continue;
    steps.push(read.step);
    at = read.end;
  }
}

/** @param {string} text @param {number} at @returns {{ step: Step, end: number } | undefined} */
function readStop(text, at) {
  const stop = /(pause_turn|refusal|max_tokens_tool\s+([\w-]+))\s*\]\]/y;
  stop.lastIndex = at;
  const [, kind, tool] = stop.exec(text) ?? [];
  if (kind === undefined) return undefined;
  const end = stop.lastIndex;
  if (tool !== undefined) return { step: { kind: 'cut', tool }, end };
  return { step: { kind: kind === 'refusal' ? 'refusal' : 'pause_turn' }, end };
}

/** @param {string} text @param {number} at @returns {{ step: Step, end: number } | undefined} */
function readTools(text, at) {
  /** @type {ToolCall[]} */
  const calls = [];
  let next = at;
  for (;;) {
    const name = /\s*(?:tool:)?([\w-]+)\s*/y;
    name.lastIndex = next;
    const [, tool] = name.exec(text) ?? [];
    if (tool === undefined) return undefined;
    const json = jsonAt(text, name.lastIndex);
    const input = json === '' ? {} : objectOf(json);
    if (input === undefined) return undefined;
    calls.push({ name: tool, input });
    const end = /\s*(&&|\]\])/y;
    end.lastIndex = name.lastIndex + json.length;
    const [, mark] = end.exec(text) ?? [];
    if (mark === undefined) return undefined;
    next = end.lastIndex;
    if (mark === ']]') return { step: { kind: 'tools', calls }, end: next };
  }
}

/**
 * A JSON object from its first brace to the one that ends it: a string in it may hold markers.
 *
 * @param {string} text
 * @param {number} start
 * @returns {string} '' when none begins here
 */
function jsonAt(text, start) {
  if (text[start] !== '{') return '';
  const token = /"(?:[^"\\]|\\.)*"|[{}]/g;
  token.lastIndex = start;
  let depth = 0;
  for (let found = token.exec(text); found !== null; found = token.exec(text)) {
    if (found[0] === '{') depth += 1;
    if (found[0] === '}') depth -= 1;
    if (depth === 0) return text.slice(start, token.lastIndex);
  }
  return '';
}

/** @param {string} json @returns {Record<string, unknown> | undefined} */
function objectOf(json) {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

import type { Usage } from '@millrace/contracts';

import { isDeeperThan } from './json-depth.ts';

/** Levels of what usage may report beside its counts: Claude's has one. */
const usageFieldDepthMax = 8;
const cacheCounts = ['cache_creation_input_tokens', 'cache_read_input_tokens'];

export interface ContentBlock {
  type: string;
  [field: string]: unknown;
}

/** The Messages API's answer, as far as it is read here; all else is passed on unmodified. */
export interface ClaudeMessage {
  content: ContentBlock[];
  stop_reason: string | null;
  [field: string]: unknown;
}

type Fields = Record<string, unknown>;

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isContentBlock(value: unknown): value is ContentBlock {
  return isFields(value) && typeof value['type'] === 'string';
}

/** Says whether a body is a Messages object. */
export function isClaudeMessage(value: unknown): value is ClaudeMessage {
  if (!isFields(value) || value['type'] !== 'message') return false;
  const { content, stop_reason: stopReason } = value;
  return (
    Array.isArray(content) &&
    content.every(isContentBlock) &&
    (stopReason === null || typeof stopReason === 'string')
  );
}

/** Reasons to stop that may come in the middle of a block. */
const cutShort: readonly string[] = ['max_tokens', 'model_context_window_exceeded', 'refusal'];

/** Says whether an answer may end in the middle of what it was about to say. */
export function isCutShort({ stop_reason: stopReason }: ClaudeMessage): boolean {
  return stopReason !== null && cutShort.includes(stopReason);
}

/** The job's `result`: the text blocks one after the other. */
export function textOf(message: ClaudeMessage): string {
  let text = '';
  for (const block of message.content) {
    if (block.type === 'text' && typeof block['text'] === 'string') text += block['text'];
  }
  return text;
}

function isTokenCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

/** A count of the cache that is none, or a field too deep for an event, is left out. */
function isTold([name, value]: [string, unknown]): boolean {
  if (!cacheCounts.includes(name)) return !isDeeperThan(value, usageFieldDepthMax);
  return value === null || isTokenCount(value);
}

/**
 * @returns the usage of an answer as the contract has it, or undefined when it reports none that
 * can be counted.
 */
export function usageOf(message: ClaudeMessage): Usage | undefined {
  const usage = message['usage'];
  if (!isFields(usage)) return undefined;
  const { input_tokens: input, output_tokens: output } = usage;
  if (!isTokenCount(input) || !isTokenCount(output)) return undefined;
  const told = Object.fromEntries(Object.entries(usage).filter(isTold));
  return { ...told, input_tokens: input, output_tokens: output };
}

export function modelOf(message: ClaudeMessage): string | undefined {
  return typeof message['model'] === 'string' ? message['model'] : undefined;
}

/**
 * How the Claude stand-in counts the tokens of a prompt whose beginning is marked for the cache, as
 * the API does: a prefix is written by the answers that begin before the first of them has begun,
 * and read by those after it, for as long as it lives; reading it lets it live on.
 */
import { createHash } from 'node:crypto';

import { z } from 'zod';

import { promptBlocksOf } from './conversation.mjs';
import { tokensOf } from './tokens.mjs';

/** A shorter prefix is not kept, marked or not. */
export const cachedTokensMin = 1_024;
/** How far before a mark the API looks for what was written. */
const lookBackBlocks = 20;
/** Prefixes that are kept; those written first are forgotten. */
const prefixesMax = 10_000;
const minuteMs = 60_000;
const livesMs = { '5m': 5 * minuteMs, '1h': 60 * minuteMs };

const markSchema = z.object({
  cache_control: z.object({
    type: z.literal('ephemeral'),
    ttl: z.enum(['5m', '1h']).default('5m'),
  }),
});

/**
 * @typedef {import('./conversation.mjs').Request} Request
 * @typedef {'5m' | '1h'} Lifetime
 * @typedef {{ key: string, tokens: number, lifetime: Lifetime | undefined }} Prefix
 * @typedef {object} CachedPrompt
 * @property {number} readTokens
 * @property {Readonly<Record<Lifetime, number>>} writtenTokens
 * @property {readonly { key: string, lifetime: Lifetime }[]} writes once the answer has begun
 */

/** @type {CachedPrompt} */
export const uncached = { readTokens: 0, writtenTokens: { '5m': 0, '1h': 0 }, writes: [] };

export class PromptCache {
  /** Until when each prefix lives, and how long after it was read. */
  #lives = /** @type {Map<string, { untilMs: number, lifetime: Lifetime }>} */ (new Map());

  /**
   * What of a prompt is read and what will be written. Times are by any one clock.
   *
   * @param {Request} request
   * @param {number} nowMs
   * @returns {CachedPrompt}
   */
  look(request, nowMs) {
    const prefixes = prefixesOf(request);
    const marked = prefixes.flatMap(({ lifetime, tokens }, i) =>
      lifetime !== undefined && tokens >= cachedTokensMin ? [i] : [],
    );
    const read = marked
      .toReversed()
      .map((i) => this.#lastLiving(prefixes, { from: i, nowMs }))
      .find((i) => i >= 0);
    const writtenTokens = { '5m': 0, '1h': 0 };
    const writes = [];
    let tokens = read === undefined ? 0 : (prefixes[read]?.tokens ?? 0);
    const readTokens = tokens;
    for (const prefix of marked.filter((i) => i > (read ?? -1)).map((i) => prefixes[i])) {
      if (prefix?.lifetime === undefined) continue;
      writtenTokens[prefix.lifetime] += prefix.tokens - tokens;
      tokens = prefix.tokens;
      writes.push({ key: prefix.key, lifetime: prefix.lifetime });
    }
    return { readTokens, writtenTokens, writes };
  }

  /**
   * The answer begins: from now on others find what it wrote.
   *
   * @param {CachedPrompt} prompt
   * @param {number} nowMs
   */
  begun({ writes }, nowMs) {
    for (const { key, lifetime } of writes) {
      this.#lives.delete(key);
      this.#lives.set(key, { lifetime, untilMs: nowMs + livesMs[lifetime] });
      const oldest = this.#lives.keys().next();
      if (this.#lives.size > prefixesMax && !oldest.done) this.#lives.delete(oldest.value);
    }
  }

  /**
   * @param {readonly Prefix[]} prefixes
   * @param {{ from: number, nowMs: number }} look
   * @returns {number} -1: none
   */
  #lastLiving(prefixes, { from, nowMs }) {
    for (let i = from; i >= 0 && i > from - lookBackBlocks; i -= 1) {
      const life = this.#lives.get(prefixes[i]?.key ?? '');
      if (life === undefined || life.untilMs <= nowMs) continue;
      life.untilMs = nowMs + livesMs[life.lifetime];
      return i;
    }
    return -1;
  }
}

/** @param {Request} request @returns {Prefix[]} one to the end of each block; none without marks */
function prefixesOf(request) {
  const blocks = promptBlocksOf(request);
  if (!blocks.some(({ block }) => 'cache_control' in block)) return [];
  let key = request.model;
  let said = '';
  return blocks.map(({ block, place }) => {
    const { cache_control: _, ...rest } = block;
    const text = JSON.stringify([place, rest]);
    key = createHash('sha256').update(key).update(text).digest('base64');
    said += text;
    const mark = markSchema.safeParse(block);
    return { key, tokens: tokensOf(said), lifetime: mark.data?.cache_control.ttl };
  });
}

import { describe, expect, it } from '@jest/globals';

import { readRequest, type Request } from './conversation.mjs';
import { cachedTokensMin, PromptCache } from './prompt-cache.mjs';

const minuteMs = 60_000;
const long = 'a low dam across a river '.repeat(300);

interface Said {
  readonly text: string;
  /** Marked for the cache, for this long. */
  readonly ttl?: '5m' | '1h';
}

const blockOf = ({ text, ttl }: Said) => ({
  type: 'text',
  text,
  ...(ttl === undefined ? {} : { cache_control: { type: 'ephemeral', ttl } }),
});

function asking(system: readonly Said[], question: readonly Said[] = [{ text: 'Why?' }]): Request {
  const { request, refusal } = readRequest({
    model: 'claude-sonnet-5-5',
    max_tokens: 10,
    system: system.map(blockOf),
    messages: [{ role: 'user', content: question.map(blockOf) }],
  });
  if (request === undefined) throw new Error(refusal);
  return request;
}

/** Asks, and is answered at once. */
function paid(cache: PromptCache, request: Request, nowMs: number) {
  const prompt = cache.look(request, nowMs);
  cache.begun(prompt, nowMs);
  const { readTokens, writtenTokens } = prompt;
  return { read: readTokens, written: writtenTokens['5m'] + writtenTokens['1h'] };
}

describe('the cache of prompts', () => {
  const marked = asking([{ text: long, ttl: '5m' }]);

  it('writes a marked prefix once, and reads it under another question', () => {
    const cache = new PromptCache();
    const { read, written } = paid(cache, marked, 0);
    expect([read, written > cachedTokensMin]).toEqual([0, true]);
    const other = asking([{ text: long, ttl: '5m' }], [{ text: 'Since when?' }]);
    expect(paid(cache, other, 1_000)).toEqual({ read: written, written: 0 });
  });

  it('is written by each that asks before the first answer has begun', () => {
    const cache = new PromptCache();
    const prompts = [cache.look(marked, 0), cache.look(marked, 1)];
    for (const { readTokens, writes } of prompts) {
      expect([readTokens, writes.length]).toEqual([0, 1]);
    }
  });

  it('forgets after five minutes without a reader, counted from the last one', () => {
    const cache = new PromptCache();
    const { written } = paid(cache, marked, 0);
    expect(paid(cache, marked, 4 * minuteMs).read).toBe(written);
    expect(paid(cache, marked, 9 * minuteMs - 1).read).toBe(written);
    expect(paid(cache, marked, 14 * minuteMs)).toEqual({ read: 0, written });
  });

  it('keeps for an hour what is marked so', () => {
    const cache = new PromptCache();
    const hour = asking([{ text: long, ttl: '1h' }]);
    expect(cache.look(hour, 0).writtenTokens['1h']).toBeGreaterThan(cachedTokensMin);
    const { written } = paid(cache, hour, 0);
    expect(paid(cache, hour, 59 * minuteMs).read).toBe(written);
    expect(paid(cache, hour, 119 * minuteMs).read).toBe(0);
  });

  it('pays for what follows the longest prefix that it finds', () => {
    const cache = new PromptCache();
    const { written } = paid(cache, marked, 0);
    const grown = asking([{ text: long, ttl: '5m' }], [{ text: long, ttl: '5m' }]);
    const after = paid(cache, grown, 1);
    expect(after.read).toBe(written);
    expect(after.written).toBeGreaterThan(cachedTokensMin);
    expect(paid(cache, grown, 2)).toEqual({ read: written + after.written, written: 0 });
  });

  it('knows a prefix by every byte, and by the model', () => {
    const cache = new PromptCache();
    paid(cache, marked, 0);
    expect(paid(cache, asking([{ text: `${long}.`, ttl: '5m' }]), 1).read).toBe(0);
    expect(paid(cache, { ...marked, model: 'claude-opus-5-5' }, 1).read).toBe(0);
  });

  it('keeps nothing that is short or not marked', () => {
    const cache = new PromptCache();
    for (const request of [asking([{ text: 'Be brief.', ttl: '5m' }]), asking([{ text: long }])]) {
      expect(paid(cache, request, 0)).toEqual({ read: 0, written: 0 });
      expect(paid(cache, request, 1)).toEqual({ read: 0, written: 0 });
    }
  });

  it('takes four marks in a prompt, and refuses five', () => {
    const text = { text: 'x', ttl: '5m' } as const;
    expect(() => asking([text, text, text, text])).not.toThrow();
    expect(() => asking([text, text, text, text, text])).toThrow('maximum of 4');
  });
});

import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { costMicros, costMicrosMax, priceOf, priceSchema, promptTokens } from './prices.ts';
import type { Price } from './prices.ts';

const opus: Price = { model: 'claude-opus-*', from: '2026-01-01', input: 4, output: 20 };
const cheaper: Price = { ...opus, from: '2026-06-01', input: 3 };
const special: Price = { ...opus, model: 'claude-opus-5-5', input: 5 };
const haiku: Price = {
  model: 'claude-haiku-5-5',
  from: '2026-01-01',
  input: 0.1,
  output: 0.5,
  cache_read: 0.01,
  bands: [{ above_tokens: 100_000, input: 0.5, output: 2.5, cache_read: 0.05 }],
};

const none = { input_tokens: 0, output_tokens: 0 };

describe('a price', () => {
  it.each([
    ['claude-opus-5', '2026-05-31T23:59:59Z', opus],
    ['claude-opus-5', '2026-06-01T00:00:00Z', cheaper],
    ['claude-opus-5-5', '2026-06-01T00:00:00Z', special],
    ['claude-opus-5', '2025-12-31T00:00:00Z', undefined],
    ['claude-sonnet-5', '2026-06-01T00:00:00Z', undefined],
  ])('of %s at %s is the closest name’s latest', (model, at, price) => {
    expect(priceOf([cheaper, special, opus], model, new Date(at))).toBe(price);
    expect(priceOf([opus, special, cheaper], model, new Date(at))).toBe(price);
  });

  it.each([
    [opus, { input_tokens: 1_000, output_tokens: 500 }, 14_000],
    [opus, { ...none, cache_creation_input_tokens: 1_000 }, 5_000],
    [
      opus,
      {
        ...none,
        cache_creation_input_tokens: 1_000,
        cache_creation: { ephemeral_1h_input_tokens: 400 },
      },
      3_000 + 3_200,
    ],
    [opus, { ...none, cache_read_input_tokens: 1_000 }, 4_000],
    [haiku, { input_tokens: 100_000, output_tokens: 0 }, 10_000],
    [haiku, { input_tokens: 100_001, output_tokens: 1 }, 50_003],
    [haiku, { input_tokens: 1, output_tokens: 0, cache_read_input_tokens: 100_000 }, 5_001],
    [haiku, { input_tokens: 1, output_tokens: 0 }, 1],
  ])('%#. comes to whole millionths, rounded up', (price, usage, micros) => {
    expect(costMicros(priceSchema.parse(price), usage)).toBe(micros);
  });

  it('is never more than what was reserved for it', () => {
    const tokens = fc.nat({ max: 200_000 });
    const usages = fc.record({
      input_tokens: tokens,
      output_tokens: tokens,
      cache_creation_input_tokens: tokens,
      cache_read_input_tokens: tokens,
    });
    fc.assert(
      fc.property(usages, fc.constantFrom(opus, haiku), (usage, price) => {
        const call = { promptTokens: promptTokens(usage), outputTokens: usage.output_tokens };
        expect(costMicros(price, usage)).toBeLessThanOrEqual(costMicrosMax(price, call));
      }),
    );
  });
});

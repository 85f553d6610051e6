import type { Usage } from '@millrace/contracts';
import { z } from 'zod';

/** US dollars for a million tokens. */
const dollars = z.number().nonnegative().max(10_000);

const rateFields = {
  input: dollars,
  output: dollars,
  /** Written to the cache for five minutes, and for an hour; by default 1.25 and 2 × `input`. */
  cache_write: dollars.optional(),
  cache_write_1h: dollars.optional(),
  /** By default as `input`. */
  cache_read: dollars.optional(),
};

/** One model's price from a day on. Prices are data, in a file that an operator keeps. */
export const priceSchema = z.strictObject({
  /** A model's name; a `*` at its end stands for the rest of the name. */
  model: z.string().min(1).max(128),
  /** The first day, in UTC, on which it holds. */
  from: z.iso.date(),
  ...rateFields,
  /** What holds instead for prompts of more than `above_tokens`. */
  bands: z.array(z.strictObject({ above_tokens: z.int().positive(), ...rateFields })).optional(),
});
export type Price = z.infer<typeof priceSchema>;

type Rates = Omit<Price, 'model' | 'from' | 'bands'>;

/** The price of a model at a time: the longest name that fits, then the latest day. */
export function priceOf(prices: readonly Price[], model: string, at: Date): Price | undefined {
  const day = at.toISOString().slice(0, 10);
  return prices
    .filter((price) => fits(price.model, model) && price.from <= day)
    .reduce<Price | undefined>(
      (best, price) => (!best || isCloser(price, best) ? price : best),
      undefined,
    );
}

/** What an answer cost, in whole millionths of a US dollar, rounded up. */
export function costMicros(price: Price, usage: Usage): number {
  const rates = ratesFor(price, promptTokens(usage));
  const hourWrites = hourWriteTokens(usage);
  const writes = (usage.cache_creation_input_tokens ?? 0) - hourWrites;
  // Dollars for a million tokens are millionths of a dollar for one.
  return sumMicros([
    [usage.input_tokens, rates.input],
    [Math.max(0, writes), rates.cache_write ?? rates.input * 1.25],
    [hourWrites, rates.cache_write_1h ?? rates.input * 2],
    [usage.cache_read_input_tokens ?? 0, rates.cache_read ?? rates.input],
    [usage.output_tokens, rates.output],
  ]);
}

/** The most that a call may cost, whatever of its prompt is written to the cache. */
export function costMicrosMax(
  price: Price,
  call: { readonly promptTokens: number; readonly outputTokens: number },
): number {
  const bands = [price, ...(price.bands ?? [])];
  return Math.max(
    ...bands
      .filter((band) => !('above_tokens' in band) || call.promptTokens > band.above_tokens)
      .map((rates) =>
        sumMicros([
          [call.promptTokens, dearestInput(rates)],
          [call.outputTokens, rates.output],
        ]),
      ),
  );
}

/** Tokens of a prompt, cached or not. */
export function promptTokens(usage: Usage): number {
  const written = usage.cache_creation_input_tokens ?? 0;
  return usage.input_tokens + written + (usage.cache_read_input_tokens ?? 0);
}

function dearestInput(rates: Rates): number {
  const { input, cache_write, cache_write_1h, cache_read } = rates;
  return Math.max(input, cache_write ?? input * 1.25, cache_write_1h ?? input * 2, cache_read ?? 0);
}

/** In billionths, which are whole numbers for every price with three decimals, and exact sums. */
function sumMicros(parts: readonly (readonly [tokens: number, dollars: number])[]): number {
  const nanos = parts.reduce((sum, [tokens, price]) => sum + tokens * Math.round(price * 1_000), 0);
  return Math.ceil(nanos / 1_000);
}

function ratesFor(price: Price, tokens: number): Rates {
  const bands = (price.bands ?? []).filter((band) => tokens > band.above_tokens);
  return bands.reduce<Rates & { above_tokens?: number }>(
    (best, band) => (band.above_tokens > (best.above_tokens ?? 0) ? band : best),
    price,
  );
}

const cacheCreationSchema = z.object({
  ephemeral_1h_input_tokens: z.int().nonnegative().nullish(),
});

function hourWriteTokens(usage: Usage): number {
  const parsed = cacheCreationSchema.safeParse(usage['cache_creation']);
  return parsed.success ? (parsed.data.ephemeral_1h_input_tokens ?? 0) : 0;
}

function fits(pattern: string, model: string): boolean {
  return pattern.endsWith('*') ? model.startsWith(pattern.slice(0, -1)) : pattern === model;
}

function isCloser(price: Price, than: Price): boolean {
  if (price.model.length !== than.model.length) return price.model.length > than.model.length;
  return price.from > than.from;
}

import { readFileSync } from 'node:fs';

import { z } from 'zod';

import { priceSchema, type Price } from './core/prices.ts';

const priceFileSchema = z.strictObject({
  /** Where the prices are from, for people. */
  note: z.string().optional(),
  prices: z.array(priceSchema).max(1_000),
});

/** @throws when the file is not there, or is none of prices: a run would cost nothing then. */
export function readPrices(path: string | URL): readonly Price[] {
  return priceFileSchema.parse(JSON.parse(readFileSync(path, 'utf8'))).prices;
}

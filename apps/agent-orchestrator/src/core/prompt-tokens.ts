import { tokenBytesMin } from '@millrace/contracts';

import { isRecord } from './canonical-json.ts';

/** The most tokens that a part of a prompt has: what is not text is counted as the API does. */
export function promptTokensAtMost(part: unknown): number {
  if (typeof part === 'string') return Math.ceil(Buffer.byteLength(part) / tokenBytesMin) + 1;
  if (Array.isArray(part)) {
    return part.reduce<number>((sum, one) => sum + promptTokensAtMost(one), 4);
  }
  if (!isRecord(part)) return 8;
  const outside = tokensOfSource(part);
  if (outside !== undefined) return outside;
  return Object.entries(part).reduce(
    (sum, [key, value]) => sum + promptTokensAtMost(key) + promptTokensAtMost(value),
    4,
  );
}

/** An image of the largest size that is not scaled down. */
const imageTokens = 5_000;
/** A file or an address whose size nobody knows here: some 25 pages. */
const unknownTokens = 50_000;

function tokensOfSource(part: Readonly<Record<string, unknown>>): number | undefined {
  const { type, data, media_type: media } = part;
  if (type === 'url' || type === 'file') return unknownTokens;
  if (type !== 'base64' || typeof data !== 'string') return undefined;
  if (typeof media === 'string' && media.startsWith('image/')) return imageTokens;
  return Math.ceil(data.length / 4);
}

import { jsonDepthMax, jsonValuesMax } from '@millrace/contracts';

const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const openings = new Set([0x5b, 0x7b]);
const closings = new Set([0x5d, 0x7d]);

/**
 * What is wrong with the bytes of a JSON text before anything is made of them, or null: parsing
 * five million levels or lists takes seconds and hundreds of MiB, this some ten milliseconds.
 * Whether it is JSON at all is for the parser to say.
 */
export function jsonTextBoundsError(bytes: Buffer): string | null {
  let depth = 0;
  let values = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at] ?? 0;
    if (byte === quote) at = endOfString(bytes, at);
    else if (byte === comma) values += 1;
    else if (closings.has(byte)) depth -= 1;
    else if (openings.has(byte)) {
      depth += 1;
      values += 1;
    }
    if (depth > jsonDepthMax) return `nested deeper than ${jsonDepthMax} levels`;
    if (values > 2 * jsonValuesMax) return `made of more than ${jsonValuesMax} values`;
  }
  return null;
}

/** The place of the quote that ends the string which begins at `from`, or the end. */
function endOfString(bytes: Buffer, from: number): number {
  let at = from;
  do {
    at = bytes.indexOf(quote, at + 1);
    if (at === -1) return bytes.length;
  } while (isEscaped(bytes, at));
  return at;
}

function isEscaped(bytes: Buffer, at: number): boolean {
  let backslashes = 0;
  while (bytes[at - 1 - backslashes] === backslash) backslashes += 1;
  return backslashes % 2 === 1;
}

import type { HeaderValue } from './wire-message.ts';

interface Sized {
  readonly key: Buffer | string | null;
  readonly headers: Readonly<Record<string, HeaderValue>>;
  readonly value: Buffer | null;
}

/** Bytes around a message inside a record batch: lengths, offset and timestamp deltas. */
const overheadBytes = 32;

/** About what a message takes on the wire. Keys and header text are ASCII nearly always. */
export function messageBytes(message: Sized): number {
  let bytes = overheadBytes + (message.key?.length ?? 0) + (message.value?.length ?? 0);
  for (const name in message.headers) {
    bytes += name.length + 4 + headerBytes(message.headers[name]);
  }
  return bytes;
}

function headerBytes(value: HeaderValue | undefined): number {
  if (value === undefined) return 0;
  if (typeof value === 'string' || Buffer.isBuffer(value)) return value.length;
  return value.reduce((sum, part) => sum + part.length, 0);
}

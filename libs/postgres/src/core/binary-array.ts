/**
 * One-dimensional arrays in Postgres's binary format (`array_recv`): no quoting here, no parsing
 * there, and bytes travel as bytes instead of twice as many hexadecimal digits.
 */

/** Bytes before the elements: dimensions, null flag, element type, length, lower bound. */
const headerBytes = 20;
const emptyHeaderBytes = 12;
/** Milliseconds from 1970 to 2000, where Postgres's timestamps begin. */
const postgresEpochMs = 946_684_800_000;
const dayMs = 86_400_000;
/** What `jsonb_recv` expects before the text. */
const jsonbVersion = 1;

interface ElementCodec {
  /** The type's row in `pg_type`, fixed for built-in types. */
  readonly oid: number;
  /** Whether the type can hold the value; everything, when absent. */
  readonly holds?: (value: unknown) => boolean;
  bytesOf(value: unknown): number;
  write(target: Buffer, at: number, value: unknown): void;
}

const text: ElementCodec = {
  oid: 25,
  bytesOf: (value) => Buffer.byteLength(String(value)),
  write: (target, at, value) => void target.write(String(value), at),
};

/** A codec of a type whose elements all have one length. */
function fixed(
  oid: number,
  bytes: number,
  codec: Pick<ElementCodec, 'holds' | 'write'>,
): ElementCodec {
  return { oid, bytesOf: () => bytes, ...codec };
}

/** Whether a value is a whole number of so many bits, with a sign. */
function isInteger(bits: number): (value: unknown) => boolean {
  const limit = 2 ** (bits - 1);
  return (value) => Number.isInteger(value) && Number(value) >= -limit && Number(value) < limit;
}

const codecs = {
  text,
  bytea: {
    oid: 17,
    holds: (value) => Buffer.isBuffer(value),
    bytesOf: (value) => bufferOf(value).length,
    write: (target, at, value) => void bufferOf(value).copy(target, at),
  },
  jsonb: {
    oid: 3802,
    bytesOf: (value) => 1 + text.bytesOf(value),
    write: (target, at, value) => {
      target[at] = jsonbVersion;
      text.write(target, at + 1, value);
    },
  },
  boolean: fixed(16, 1, {
    holds: (value) => typeof value === 'boolean',
    write: (target, at, value) => void target.writeUInt8(value === true ? 1 : 0, at),
  }),
  smallint: fixed(21, 2, {
    holds: isInteger(16),
    write: (target, at, value) => void target.writeInt16BE(Number(value), at),
  }),
  int: fixed(23, 4, {
    holds: isInteger(32),
    write: (target, at, value) => void target.writeInt32BE(Number(value), at),
  }),
  real: fixed(700, 4, {
    write: (target, at, value) => void target.writeFloatBE(Number(value), at),
  }),
  float8: fixed(701, 8, {
    write: (target, at, value) => void target.writeDoubleBE(Number(value), at),
  }),
  /** `YYYY-MM-DD`. */
  date: fixed(1082, 4, {
    holds: (value) => !Number.isNaN(epochMsOf(value)),
    write: (target, at, value) => {
      target.writeInt32BE(Math.floor((epochMsOf(value) - postgresEpochMs) / dayMs), at);
    },
  }),
  timestamptz: fixed(1184, 8, {
    holds: (value) => !Number.isNaN(epochMsOf(value)),
    write: (target, at, value) => {
      target.writeBigInt64BE(BigInt(epochMsOf(value) - postgresEpochMs) * 1_000n, at);
    },
  }),
} satisfies Record<string, ElementCodec>;

/** The element types that can be encoded, as statements name them. */
export type ElementType = keyof typeof codecs;

export const elementTypes: readonly string[] = Object.keys(codecs);

export function isElementType(name: string): name is ElementType {
  return Object.hasOwn(codecs, name);
}

/**
 * Encodes an array; null and undefined become NULL.
 * @returns null when the type cannot hold one of the values.
 */
export function binaryArray(type: ElementType, values: readonly unknown[]): Buffer | null {
  const codec: ElementCodec = codecs[type];
  const { holds } = codec;
  if (holds !== undefined && !values.every((value) => isNull(value) || holds(value))) return null;
  if (values.length === 0) return header(Buffer.alloc(emptyHeaderBytes), codec, 0);
  let bytes = headerBytes;
  for (const value of values) bytes += 4 + (isNull(value) ? 0 : codec.bytesOf(value));
  const target = header(Buffer.allocUnsafe(bytes), codec, values.some(isNull) ? 1 : 0);
  target.writeInt32BE(1, 0);
  target.writeInt32BE(values.length, 12);
  target.writeInt32BE(1, 16);
  let at = headerBytes;
  for (const value of values) {
    const length = isNull(value) ? -1 : codec.bytesOf(value);
    target.writeInt32BE(length, at);
    at += 4;
    if (length < 0) continue;
    codec.write(target, at, value);
    at += length;
  }
  return target;
}

function header(target: Buffer, codec: ElementCodec, hasNull: 0 | 1): Buffer {
  target.writeInt32BE(0, 0);
  target.writeInt32BE(hasNull, 4);
  target.writeInt32BE(codec.oid, 8);
  return target;
}

function isNull(value: unknown): value is null | undefined {
  return value === null || value === undefined;
}

function bufferOf(value: unknown): Buffer {
  return Buffer.isBuffer(value) ? value : Buffer.alloc(0);
}

/** Milliseconds since 1970, NaN for what is no time. */
function epochMsOf(value: unknown): number {
  return Math.trunc(value instanceof Date ? value.getTime() : Date.parse(String(value)));
}

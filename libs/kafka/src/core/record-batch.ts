/**
 * Kafka's format 2 of records, as far as it has to be known to look into a batch and to write it
 * anew: a header of 61 bytes, then records that each begin with their size.
 */

/** Where the header's fields lie. The sizes of all batches are read before anything else. */
const at = {
  length: 8,
  magic: 16,
  attributes: 21,
  lastOffsetDelta: 23,
  count: 57,
  records: 61,
} as const;
/** Of a batch, up to its first record. */
export const batchHeadBytes = at.records;
/** Up to its leader's epoch: what its length does not count. */
export const beforeLengthBytes = 12;
const packingMask = 0x07;

export interface BatchHeader {
  /** The header's own included. */
  readonly bytes: number;
  readonly baseOffset: bigint;
  readonly lastOffsetDelta: number;
  readonly count: number;
  /** 0 for none, else the number of how the records are packed. */
  readonly packing: number;
}

/** @returns undefined where no whole batch of format 2 begins. */
export function readBatchHeader(set: Buffer): BatchHeader | undefined {
  if (set.length < at.records || set[at.magic] !== 2) return undefined;
  const bytes = beforeLengthBytes + set.readInt32BE(at.length);
  if (bytes < at.records || bytes > set.length) return undefined;
  return {
    bytes,
    baseOffset: set.readBigInt64BE(0),
    lastOffsetDelta: set.readInt32BE(at.lastOffsetDelta),
    count: set.readInt32BE(at.count),
    packing: set.readInt16BE(at.attributes) & packingMask,
  };
}

/** The records of a batch, packed or not. */
export function recordsOf(batch: Buffer): Buffer {
  return batch.subarray(at.records);
}

/** A batch of the same place and time with these records, not packed. */
export function batchWith(batch: Buffer, records: readonly Buffer[]): Buffer {
  const header = Buffer.from(batch.subarray(0, at.records));
  const whole = Buffer.concat([header, ...records]);
  whole.writeInt32BE(whole.length - beforeLengthBytes, at.length);
  whole.writeInt16BE(header.readInt16BE(at.attributes) & ~packingMask, at.attributes);
  whole.writeInt32BE(records.length, at.count);
  return whole;
}

/** One record in the bytes of a batch. */
export interface PlacedRecord {
  readonly bytes: Buffer;
  readonly offsetDelta: number;
  readonly headerCount: number;
  /** The record without its headers, and without their number. */
  readonly beforeHeaders: Buffer;
}

/** Reads records one after the other. Each call tells the next one. */
export class RecordReader {
  private place = 0;

  constructor(private readonly records: Buffer) {}

  /** @returns undefined when there is none, or it is not whole. */
  next(): PlacedRecord | undefined {
    const start = this.place;
    const size = this.varint();
    const content = this.place;
    const end = content + size;
    if (size <= 0 || end > this.records.length) return undefined;
    // Its attributes and its time.
    this.place += 1;
    this.varint();
    const offsetDelta = this.varint();
    // Its key and its value.
    this.skipBytes();
    this.skipBytes();
    const beforeHeaders = this.records.subarray(content, this.place);
    const headerCount = this.varint();
    if (this.place > end) return undefined;
    this.place = end;
    return { bytes: this.records.subarray(start, end), offsetDelta, headerCount, beforeHeaders };
  }

  private skipBytes(): void {
    const length = this.varint();
    this.place += Math.max(0, length);
  }

  /** Zigzag: the sign is the lowest bit. A time has up to ten bytes, whose value nobody needs. */
  private varint(): number {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.records[this.place] ?? 0;
      this.place += 1;
      if (shift < 32) value |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    return (value >>> 1) ^ -(value & 1);
  }
}

interface OwnRecord {
  readonly offsetDelta: number;
  readonly value: Buffer;
  readonly header: { readonly name: string; readonly text: string };
}

/** A record without a key that stands for what cannot be read, at its offset. */
export function recordOf({ offsetDelta, value, header }: OwnRecord): Buffer {
  const content = [
    Buffer.from([0, 0]),
    varint(offsetDelta),
    varint(-1),
    varint(value.length),
    value,
    ...headersOf(header),
  ];
  return sized(content);
}

/** A record as it was, but with one header of ours in the place of its own. */
export function recordWithHeader(record: PlacedRecord, header: OwnRecord['header']): Buffer {
  return sized([record.beforeHeaders, ...headersOf(header)]);
}

function headersOf({ name, text }: OwnRecord['header']): Buffer[] {
  const parts = [name, text].map((part) => Buffer.from(part));
  return [varint(1), ...parts.flatMap((part) => [varint(part.length), part])];
}

function sized(content: readonly Buffer[]): Buffer {
  const bytes = content.reduce((sum, { length }) => sum + length, 0);
  return Buffer.concat([varint(bytes), ...content]);
}

/** The sign is the lowest bit, so that small numbers below zero are short, too. */
export function zigzag(value: number): number {
  return ((value << 1) ^ (value >> 31)) >>> 0;
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = zigzag(value);
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return Buffer.from([...bytes, rest]);
}

import { crc32c } from './crc32c.ts';
import { batchHeadBytes, beforeLengthBytes, zigzag } from './record-batch.ts';
import type { HeaderValue } from './wire-message.ts';

/**
 * The body of Kafka's Produce request, of versions 3 to 8, written into one buffer: for each
 * partition a batch of format 2, not packed, and of no transaction.
 */

export interface ProducedMessage {
  readonly key?: Bytes;
  readonly value?: Bytes;
  readonly headers?: Readonly<Record<string, HeaderValue | null>>;
}

export interface ProducedTopic {
  readonly topic: string;
  readonly partitions: readonly {
    readonly partition: number;
    readonly messages: readonly ProducedMessage[];
  }[];
}

export interface ProduceRequest {
  /** How many replicas must have it: -1 for all. */
  readonly acks: number;
  /** How long the broker waits for them. */
  readonly timeoutMs: number;
  readonly topics: readonly ProducedTopic[];
  /** The time of all messages, since 1970. */
  readonly nowMs: number;
}

type Bytes = Buffer | string | null | undefined;

/** Of a batch, up to its attributes, with which its checksum begins. */
const beforeChecksumBytes = 21;
const format = 2;
/** In the place of a transaction, a producer, its epoch and its sequence. */
const none = -1;

export function produceRequest({ acks, nowMs, timeoutMs, topics }: ProduceRequest): Buffer {
  const placed = topics.map(placedTopic);
  const bytes = placed.reduce((sum, topic) => sum + topic.bytes, 12);
  const writer = new Writer(Buffer.allocUnsafe(bytes));
  writer.int16(none);
  writer.int16(acks);
  writer.int32(timeoutMs);
  writer.int32(placed.length);
  for (const { name, partitions } of placed) {
    writer.int16(lengthOf(name));
    writer.bytes(name);
    writer.int32(partitions.length);
    for (const { partition, records, bytes: batchBytes } of partitions) {
      writer.int32(partition);
      writer.int32(batchBytes);
      writeBatch(writer, { records, bytes: batchBytes, nowMs });
    }
  }
  // Memory that was not written must not leave the process.
  if (writer.at !== bytes) throw new RangeError(`wrote ${writer.at} bytes of ${bytes}`);
  return writer.buffer;
}

/** A record with all lengths that have to be known before it is written. */
interface PlacedRecord {
  readonly key: Bytes;
  readonly value: Bytes;
  /** Names and values by turns. */
  readonly headers: readonly Bytes[];
  /** Without its own length before it. */
  readonly bytes: number;
}

interface PlacedBatch {
  readonly records: readonly PlacedRecord[];
  readonly bytes: number;
}

function placedTopic({ partitions, topic }: ProducedTopic) {
  const placed = partitions.map(({ messages, partition }) => {
    const records = messages.map(placedRecord);
    return { partition, records, bytes: records.reduce(addRecord, batchHeadBytes) };
  });
  const bytes = placed.reduce((sum, batch) => sum + 8 + batch.bytes, 6 + lengthOf(topic));
  return { name: topic, partitions: placed, bytes };
}

function addRecord(sum: number, { bytes }: PlacedRecord): number {
  return sum + varintBytes(bytes) + bytes;
}

function placedRecord({ headers, key, value }: ProducedMessage, offsetDelta: number): PlacedRecord {
  const parts = headers === undefined ? [] : partsOf(headers);
  // Attributes, and how much later than the batch it is.
  let bytes = 2 + varintBytes(offsetDelta) + sizedBytes(key) + sizedBytes(value);
  bytes += varintBytes(parts.length / 2);
  for (const part of parts) bytes += sizedBytes(part);
  return { key, value, headers: parts, bytes };
}

function partsOf(headers: Readonly<Record<string, HeaderValue | null>>): Bytes[] {
  const parts: Bytes[] = [];
  for (const name in headers) {
    const value = headers[name];
    const isOne = value == null || typeof value === 'string' || Buffer.isBuffer(value);
    for (const one of isOne ? [value] : value) parts.push(name, one);
  }
  return parts;
}

function writeBatch(writer: Writer, batch: PlacedBatch & { readonly nowMs: number }): void {
  const { at: start, buffer } = writer;
  const { bytes, records } = batch;
  const nowMs = BigInt(batch.nowMs);
  // Offsets and the leader's epoch are the broker's.
  writer.int64(0n);
  writer.int32(bytes - beforeLengthBytes);
  writer.int32(none);
  writer.int8(format);
  const checksumAt = writer.at;
  writer.int32(0);
  writer.int16(0);
  writer.int32(records.length - 1);
  writer.int64(nowMs);
  writer.int64(nowMs);
  writer.int64(BigInt(none));
  writer.int16(none);
  writer.int32(none);
  writer.int32(records.length);
  records.forEach((record, n) => writeRecord(writer, record, n));
  const checksum = crc32c(buffer, start + beforeChecksumBytes, start + bytes);
  buffer.writeUInt32BE(checksum, checksumAt);
}

function writeRecord(writer: Writer, record: PlacedRecord, offsetDelta: number): void {
  const { bytes, headers, key, value } = record;
  writer.varint(bytes);
  writer.int8(0);
  writer.varint(0);
  writer.varint(offsetDelta);
  writer.sized(key);
  writer.sized(value);
  writer.varint(headers.length / 2);
  for (const part of headers) writer.sized(part);
}

function lengthOf(bytes: Buffer | string): number {
  return typeof bytes === 'string' ? Buffer.byteLength(bytes) : bytes.length;
}

function sizedBytes(bytes: Bytes): number {
  if (bytes === null || bytes === undefined) return varintBytes(none);
  const length = lengthOf(bytes);
  return varintBytes(length) + length;
}

function varintBytes(value: number): number {
  let count = 1;
  for (let rest = zigzag(value); rest >= 0x80; rest >>>= 7) count += 1;
  return count;
}

/** Text up to this length is written sign by sign: a call of Buffer's costs more. */
const shortTextMax = 64;

class Writer {
  at = 0;

  constructor(readonly buffer: Buffer) {}

  int8(value: number): void {
    this.at = this.buffer.writeInt8(value, this.at);
  }

  int16(value: number): void {
    this.at = this.buffer.writeInt16BE(value, this.at);
  }

  int32(value: number): void {
    this.at = this.buffer.writeInt32BE(value, this.at);
  }

  int64(value: bigint): void {
    this.at = this.buffer.writeBigInt64BE(value, this.at);
  }

  varint(value: number): void {
    const { buffer } = this;
    let rest = zigzag(value);
    for (; rest >= 0x80; rest >>>= 7) buffer[this.at++] = (rest & 0x7f) | 0x80;
    buffer[this.at++] = rest;
  }

  /** With its length before it. */
  sized(bytes: Bytes): void {
    if (bytes === null || bytes === undefined) return this.varint(none);
    this.varint(lengthOf(bytes));
    this.bytes(bytes);
  }

  bytes(bytes: Buffer | string): void {
    if (typeof bytes !== 'string') this.at += bytes.copy(this.buffer, this.at);
    else if (!this.shortAscii(bytes)) this.at += this.buffer.write(bytes, this.at);
  }

  /** @returns false when it is another text, of which nothing counts as written. */
  private shortAscii(text: string): boolean {
    const { at, buffer } = this;
    if (text.length > shortTextMax) return false;
    for (let n = 0; n < text.length; n += 1) {
      const code = text.charCodeAt(n);
      if (code >= 0x80) return false;
      buffer[at + n] = code;
    }
    this.at = at + text.length;
    return true;
  }
}

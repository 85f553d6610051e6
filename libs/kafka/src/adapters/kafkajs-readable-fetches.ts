/**
 * Makes what the broker sends readable for kafkajs 2.2.4, whatever a producer packed into it.
 *
 * kafkajs knows gzip alone and unpacks it without a limit; any other packing, and a batch of more
 * records than a call may have arguments, ends the consumer, and again at the same offset after
 * its restart. So an answer is rewritten before kafkajs decodes it, where it has to be.
 *
 * F1 What an answer holds is bounded unpacked as it is packed, in bytes and in records. The rest of
 *    a batch comes with the next fetch, which begins in its middle.
 * F2 What cannot be unpacked within its limit becomes one record at the batch's last offset, which
 *    is marked and holds the packed bytes: it goes to the dead letters, and nobody waits.
 * F3 The first batch of an answer gives at least one record, and a batch that has records never
 *    gives none: kafkajs would ask for the same again, for ever.
 */
import fetch from 'kafkajs/src/protocol/requests/fetch/index.js';

import type { UnreadableReason } from '../client.ts';
import {
  type BatchHeader,
  batchWith,
  type PlacedRecord,
  readBatchHeader,
  recordOf,
  RecordReader,
  recordsOf,
  recordWithHeader,
} from '../core/record-batch.ts';
import { UnpackError } from '../core/unpacked-bytes.ts';
import { FetchRoom } from './fetch-room.ts';
import { unpack } from './unpacking.ts';

/** Marks a record that kafkajs can read in the place of something that it could not. */
export const unreadableHeader = 'millrace-unreadable';

/** The version that every broker since 2.3 speaks; kafkajs has no later one. */
const fetchVersion = 11;
/** What a batch may unpack to: sixteen of the largest records. Clients fill batches to 1 MiB. */
const unpackedBytesMax = 16 * 1024 * 1024;
/** kafkajs hands a batch's records over as arguments of one call: the stack has room for these. */
const recordsOfBatchMax = 10_000;
/** kafkajs copies all headers of a record for each of them: 100 take a fraction of a ms. */
const headersMax = 100;

type OffsetOf = (topic: string, partition: number) => bigint;

/** From now on, in this process. */
export function readFetchesWhateverIsPacked(): void {
  const protocolOf = fetch.protocol.bind(fetch);
  fetch.protocol = (options) => {
    const protocol = protocolOf(options);
    if (protocol === undefined || Number(options.version) !== fetchVersion) return protocol;
    return (args) => {
      const { response, ...request } = protocol(args);
      const decode = async (answer: Buffer) =>
        response.decode(await readableAnswer(answer, offsetsIn(args)));
      return { ...request, response: { ...response, decode } };
    };
  };
}

type FetchArguments = Parameters<NonNullable<ReturnType<typeof fetch.protocol>>>[0];

function offsetsIn({ topics }: FetchArguments): OffsetOf {
  return (topic, partition) => {
    const asked = topics.find((one) => one.topic === topic)?.partitions;
    const place = asked?.find((one) => one.partition === partition);
    return BigInt(place?.fetchOffset ?? 0);
  };
}

/** Bytes of an answer before its topics: throttle time, error, session. */
const answerHeadBytes = 10;
/** Of a partition after its number: error, high watermark, last stable and first offset. */
const partitionHeadBytes = 26;
const abortedTransactionBytes = 16;

/** An answer of version 11 with its sets of batches made readable. */
async function readableAnswer(answer: Buffer, offsetOf: OffsetOf): Promise<Buffer> {
  const room = new FetchRoom();
  const parts: Buffer[] = [];
  let copied = 0;
  let at = answerHeadBytes;
  const int32 = (): number => answer.readInt32BE((at += 4) - 4);
  for (let topics = int32(); topics > 0; topics -= 1) {
    const nameAt = at + 2;
    at = nameAt + answer.readInt16BE(at);
    const topic = answer.toString('utf8', nameAt, at);
    for (let partitions = int32(); partitions > 0; partitions -= 1) {
      const from = offsetOf(topic, int32());
      at += partitionHeadBytes;
      const aborted = Math.max(0, int32());
      // And the replica to be preferred.
      at += aborted * abortedTransactionBytes + 4;
      const sizeAt = at;
      const size = Math.max(0, int32());
      const set = answer.subarray(at, at + size);
      at += size;
      room.nextPartition();
      const readable = await readableSet(set, from, room);
      if (readable === set) continue;
      parts.push(answer.subarray(copied, sizeAt), sizeOf(readable), readable);
      copied = at;
    }
  }
  return parts.length === 0 ? answer : Buffer.concat([...parts, answer.subarray(copied)]);
}

function sizeOf(bytes: Buffer): Buffer {
  const size = Buffer.alloc(4);
  size.writeInt32BE(bytes.length);
  return size;
}

/** The same buffer where nothing has to be changed. */
async function readableSet(set: Buffer, from: bigint, room: FetchRoom): Promise<Buffer> {
  const parts: Buffer[] = [];
  let isSame = true;
  for (let rest = set; rest.length > 0; ) {
    const header = readBatchHeader(rest);
    if (header === undefined) {
      // The beginning of a batch that did not fit, which kafkajs passes over.
      parts.push(rest);
      break;
    }
    if (room.isSpent()) return Buffer.concat(parts);
    const batch = rest.subarray(0, header.bytes);
    const readable = await readableBatch(batch, { header, from, room });
    parts.push(readable.bytes);
    if (readable.isCut) return Buffer.concat(parts);
    isSame &&= readable.bytes === batch;
    rest = rest.subarray(header.bytes);
  }
  return isSame ? set : Buffer.concat(parts);
}

interface Reading {
  readonly header: BatchHeader;
  readonly from: bigint;
  readonly room: FetchRoom;
}

interface ReadableBatch {
  readonly bytes: Buffer;
  /** The room was spent before the batch ended. */
  readonly isCut: boolean;
}

async function readableBatch(batch: Buffer, reading: Reading): Promise<ReadableBatch> {
  const { header, room } = reading;
  const records = recordsOf(batch);
  if (header.count <= 0) return { bytes: batch, isCut: false };
  if (header.packing === 0) {
    if (!isOrdinary(records, header.count)) return rewritten(batch, records, reading);
    room.take(header.count, batch.length);
    return { bytes: batch, isCut: false };
  }
  try {
    const unpacked = await unpack(header.packing, records, unpackedBytesMax);
    return rewritten(batch, unpacked, reading);
  } catch (error) {
    if (!(error instanceof UnpackError)) throw error;
    return unreadable(batch, reading, error.reason);
  }
}

/** Whether kafkajs reads these records by itself, and quickly. */
function isOrdinary(records: Buffer, count: number): boolean {
  if (count > recordsOfBatchMax) return false;
  const reader = new RecordReader(records);
  for (let n = 0; n < count; n += 1) {
    const record = reader.next();
    if (record === undefined || record.headerCount > headersMax) return false;
  }
  return true;
}

function rewritten(batch: Buffer, records: Buffer, reading: Reading): ReadableBatch {
  const { header, from, room } = reading;
  const fromDelta = Number(from - header.baseOffset);
  const reader = new RecordReader(records);
  const chosen: Buffer[] = [];
  let isCut = false;
  for (let n = 1; n <= header.count && !isCut; n += 1) {
    const record = reader.next();
    if (record === undefined) return unreadable(batch, reading, 'damaged');
    // F3: when all lie before the offset, the last of them tells kafkajs to go on behind it.
    const isWanted = record.offsetDelta >= fromDelta || (n === header.count && chosen.length === 0);
    if (!isWanted) continue;
    const bytes = readableRecord(record);
    chosen.push(bytes);
    room.take(1, bytes.length);
    isCut = room.isSpent() && n < header.count;
  }
  const parts: Buffer[] = [];
  for (let at = 0; at < chosen.length; at += recordsOfBatchMax) {
    parts.push(batchWith(batch, chosen.slice(at, at + recordsOfBatchMax)));
  }
  return { bytes: Buffer.concat(parts), isCut };
}

function readableRecord(record: PlacedRecord): Buffer {
  if (record.headerCount <= headersMax) return record.bytes;
  return recordWithHeader(record, marker('too_many_headers'));
}

/** F2 */
function unreadable(batch: Buffer, reading: Reading, reason: UnreadableReason): ReadableBatch {
  const value = recordsOf(batch);
  const { lastOffsetDelta: offsetDelta } = reading.header;
  const record = recordOf({ offsetDelta, value, header: marker(reason) });
  reading.room.take(1, record.length);
  return { bytes: batchWith(batch, [record]), isCut: false };
}

function marker(reason: UnreadableReason): { name: string; text: string } {
  return { name: unreadableHeader, text: reason };
}

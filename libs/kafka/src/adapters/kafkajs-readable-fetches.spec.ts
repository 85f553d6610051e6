import { zstdCompressSync } from 'node:zlib';

import { describe, expect, it, jest } from '@jest/globals';
import fetch from 'kafkajs/src/protocol/requests/fetch/index.js';

import { recordOf } from '../core/record-batch.ts';
import { readFetchesWhateverIsPacked, unreadableHeader } from './kafkajs-readable-fetches.ts';

jest.setTimeout(30_000);
readFetchesWhateverIsPacked();

const topic = 'jobs';
const header = { name: 'h', text: 'x' };

function record(offsetDelta: number, value = ''): Buffer {
  return recordOf({ offsetDelta, value: Buffer.from(value), header });
}

interface Batch {
  readonly at: number;
  readonly records: readonly Buffer[];
  /** Of the batch: compaction may have taken what lay there. */
  readonly last?: number;
  readonly pack?: (records: Buffer) => Buffer;
}

/** A batch of format 2 as a broker keeps it, packed by "zstd" if at all. */
function batch({ at, records, last = at + records.length - 1, pack }: Batch): Buffer {
  const bytes = Buffer.concat(records);
  const content = pack === undefined ? bytes : pack(bytes);
  const head = Buffer.alloc(61);
  head.writeBigInt64BE(BigInt(at), 0);
  head.writeInt32BE(49 + content.length, 8);
  head.writeInt8(2, 16);
  head.writeInt16BE(pack === undefined ? 0 : 4, 21);
  head.writeInt32BE(last - at, 23);
  head.writeInt32BE(records.length, 57);
  return Buffer.concat([head, content]);
}

/** An answer of version 11 with one set of batches for each partition. */
function answer(sets: readonly Buffer[]): Buffer {
  const head = Buffer.alloc(10 + 4 + 2 + topic.length + 4);
  head.writeInt32BE(1, 10);
  head.writeInt16BE(topic.length, 14);
  head.write(topic, 16);
  head.writeInt32BE(sets.length, 16 + topic.length);
  const partitions = sets.flatMap((set, partition) => {
    // One aborted transaction, so that its bytes are passed over too.
    const before = Buffer.alloc(4 + 26 + 4 + 16 + 4 + 4);
    before.writeInt32BE(partition);
    before.writeInt32BE(1, 30);
    before.writeInt32BE(set.length, before.length - 4);
    return [before, set];
  });
  return Buffer.concat([head, ...partitions]);
}

/** What kafkajs reads of each partition, when it asked from these offsets. */
async function read(sets: readonly Buffer[], offsets: readonly number[] = [0]) {
  const partitions = offsets.map((fetchOffset, partition) => ({ partition, fetchOffset }));
  const protocol = fetch.protocol({ version: 11 })?.({ topics: [{ topic, partitions }] });
  const { responses } = (await protocol?.response.decode(answer(sets))) ?? { responses: [] };
  return (responses[0]?.partitions ?? []).map(({ messages }) => messages);
}

const offsetsOf = (messages: readonly { readonly offset: string }[] = []) =>
  messages.map(({ offset }) => Number(offset));
const count = (from: number, length: number) => Array.from({ length }, (_, n) => from + n);

describe('what kafkajs reads of an answer', () => {
  it('is every record of batches that are packed and of those that are not, in order', async () => {
    const packed = { at: 2, records: [record(0, 'c'), record(1, 'd')], pack: zstdCompressSync };
    const set = Buffer.concat([
      batch({ at: 0, records: [record(0, 'a'), record(1, 'b')] }),
      batch(packed),
      batch({ at: 4, records: [record(0, 'e')] }),
    ]);
    const [first = [], second = []] = await read([set, batch(packed)], [0, 0]);
    expect(first.map(({ value }) => String(value))).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(offsetsOf(first)).toEqual([0, 1, 2, 3, 4]);
    expect(offsetsOf(second)).toEqual([2, 3]);
  });

  it('is passed over where a batch did not fit', async () => {
    const whole = batch({ at: 0, records: [record(0)], pack: zstdCompressSync });
    const [messages] = await read([Buffer.concat([whole, whole.subarray(0, 70)])]);
    expect(offsetsOf(messages)).toEqual([0]);
  });

  it.each([
    ['packed', zstdCompressSync],
    ['not packed', undefined],
  ])('is a part of a huge batch (%s), and from its middle the next part', async (_, pack) => {
    const records = count(0, 45_000).map((delta) => record(delta));
    const huge = batch({ at: 1_000, records, ...(pack === undefined ? {} : { pack }) });
    const set = Buffer.concat([huge, batch({ at: 46_000, records: [record(0)] })]);
    const [first] = await read([set], [1_000]);
    expect(offsetsOf(first)).toEqual(count(1_000, 20_000));
    const [middle] = await read([set], [40_500]);
    expect(offsetsOf(middle)).toEqual(count(40_500, 5_501));
  });

  it('is bounded over all partitions, and each has its turn', async () => {
    const records = count(0, 20_000).map((delta) => record(delta));
    const full = batch({ at: 0, records, pack: zstdCompressSync });
    const lengths = (await read([full, full, full, full])).map(({ length }) => length);
    expect(lengths).toEqual([20_000, 20_000, 10_000, 0]);
  });

  it('is bounded in bytes, unpacked', async () => {
    const records = count(0, 60).map((delta) => record(delta, 'x'.repeat(100_000)));
    const [messages = []] = await read([batch({ at: 0, records, pack: zstdCompressSync })]);
    expect(messages.length).toBe(21);
  });

  it('goes on behind a batch whose last records compaction took', async () => {
    const set = batch({ at: 0, records: [record(0), record(1)], last: 9, pack: zstdCompressSync });
    const [messages] = await read([set], [5]);
    expect(offsetsOf(messages)).toEqual([1]);
  });

  it.each([
    ['unpacks to too much', zstdCompressSync(Buffer.alloc(17 * 1024 * 1024)), 'too_large'],
    ['is damaged', Buffer.from('not zstd'), 'damaged'],
    ['holds less than it says', zstdCompressSync(record(0)), 'damaged'],
  ])('is one marked record for a batch that %s', async (_, content, reason) => {
    const bad = batch({ at: 3, records: [record(0), record(1)], pack: () => content });
    const set = Buffer.concat([
      batch({ at: 2, records: [record(0)] }),
      bad,
      batch({ at: 5, records: [record(0)] }),
    ]);
    const [messages = []] = await read([set], [2]);
    expect(offsetsOf(messages)).toEqual([2, 4, 5]);
    expect(String(messages[1]?.headers[unreadableHeader])).toBe(reason);
    expect(messages[1]?.value?.equals(content)).toBe(true);
  });
});

import { describe, expect, it } from '@jest/globals';
import Decoder from 'kafkajs/src/protocol/decoder.js';
import decodeBatch from 'kafkajs/src/protocol/recordBatch/v0/decoder.js';

import {
  batchWith,
  readBatchHeader,
  recordOf,
  RecordReader,
  recordsOf,
  recordWithHeader,
} from './record-batch.ts';

/** The header of a batch of format 2 at offset 40, packed by zstd, whose last record is its 9th. */
function packedHeader(): Buffer {
  const header = Buffer.alloc(61);
  header.writeBigInt64BE(40n, 0);
  header.writeInt32BE(49, 8);
  header.writeInt8(2, 16);
  header.writeInt16BE(4, 21);
  header.writeInt32BE(8, 23);
  header.writeInt32BE(9, 57);
  return header;
}

const header = { name: 'mark', text: 'why' };
const value = (length: number) => Buffer.alloc(length, 'v');

/** As kafkajs reads it. */
async function read(batch: Buffer) {
  return (await decodeBatch(new Decoder(batch))).records;
}

describe('a batch that is written anew', () => {
  it.each([0, 1, 63, 64, 8_191, 8_192, 1_048_576])(
    'is read by kafkajs with its places and values, of %d bytes',
    async (length) => {
      const records = [3, 300].map((offsetDelta) =>
        recordOf({ offsetDelta, value: value(length), header }),
      );
      const batch = batchWith(packedHeader(), records);
      expect(readBatchHeader(batch)).toMatchObject({ packing: 0, count: 2, bytes: batch.length });
      const [first, second] = await read(batch);
      expect([first?.offset, second?.offset]).toEqual(['43', '340']);
      expect(first?.key).toBeNull();
      expect(second?.value.equals(value(length))).toBe(true);
      expect(String(second?.headers['mark'])).toBe('why');
    },
  );

  it('has one header in the place of many, and the rest of the record', async () => {
    const record = recordOf({ offsetDelta: 5, value: value(70), header });
    const found = new RecordReader(recordsOf(batchWith(packedHeader(), [record]))).next();
    if (found === undefined) throw new Error('a record is not found');
    expect(found).toMatchObject({ offsetDelta: 5, headerCount: 1 });
    const other = recordWithHeader(found, { name: 'other', text: 'reason' });
    const [only] = await read(batchWith(packedHeader(), [other]));
    expect(only).toMatchObject({ offset: '45', value: value(70) });
    expect(Object.keys(only?.headers ?? {})).toEqual(['other']);
  });
});

describe('a reader of records', () => {
  it('finds each record, and nothing behind the last', () => {
    const records = [1, 200, 70_000].map((offsetDelta) =>
      recordOf({ offsetDelta, value: value(offsetDelta), header }),
    );
    const reader = new RecordReader(Buffer.concat(records));
    for (const record of records) expect(reader.next()?.bytes.equals(record)).toBe(true);
    expect(reader.next()).toBeUndefined();
  });

  it('finds no record that is cut off anywhere', () => {
    const record = recordOf({ offsetDelta: 7, value: value(300), header });
    for (let end = 0; end < record.length; end += 1) {
      expect(new RecordReader(record.subarray(0, end)).next()).toBeUndefined();
    }
  });
});

describe('a header', () => {
  it.each([
    ['is not whole', packedHeader().subarray(0, 60)],
    ['says more bytes than there are', packedHeader().fill(0x7f, 9, 10)],
  ])('that %s is none', (_, bytes) => {
    expect(readBatchHeader(bytes)).toBeUndefined();
  });

  it('of an older format is none', () => {
    const old = packedHeader();
    old.writeInt8(1, 16);
    expect(readBatchHeader(old)).toBeUndefined();
  });
});

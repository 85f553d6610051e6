import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import Decoder from 'kafkajs/src/protocol/decoder.js';
import decodeBatch from 'kafkajs/src/protocol/recordBatch/v0/decoder.js';

import { crc32c } from './crc32c.ts';
import { type ProducedMessage, produceRequest } from './produce-request.ts';

const nowMs = 1_796_037_457_025;

const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
const body = fc.oneof(fc.constant(null), fc.constant(undefined), bytes, fc.string());
const headerValue = fc.oneof(bytes, fc.string({ unit: 'grapheme', maxLength: 80 }));
const messages: fc.Arbitrary<ProducedMessage[]> = fc.array(
  fc.record({
    key: body,
    value: body,
    headers: fc.dictionary(
      // kafkajs, by which it is read here, takes what every object has for another value.
      fc.string({ unit: 'grapheme', maxLength: 90 }).filter((name) => !(name in {})),
      fc.oneof(headerValue, fc.array(headerValue, { minLength: 2, maxLength: 3 })),
      { maxKeys: 4 },
    ),
  }),
  { minLength: 1, maxLength: 90 },
);

interface SentBatch {
  readonly topic: string;
  readonly partition: number;
  readonly batch: Buffer;
}

/** As a broker reads it: every length must fit. */
function readRequest(request: Buffer) {
  let at = 0;
  const int16 = (): number => request.readInt16BE((at += 2) - 2);
  const int32 = (): number => request.readInt32BE((at += 4) - 4);
  const take = (length: number): Buffer => request.subarray((at += length) - length, at);
  const head = { transaction: int16(), acks: int16(), timeoutMs: int32() };
  const batches: SentBatch[] = [];
  for (let topics = int32(); topics > 0; topics -= 1) {
    const topic = take(int16()).toString();
    for (let partitions = int32(); partitions > 0; partitions -= 1) {
      batches.push({ topic, partition: int32(), batch: take(int32()) });
    }
  }
  return { head, batches, left: request.length - at };
}

const text = (given: Buffer | string | null | undefined): string | null =>
  given == null ? null : Buffer.from(given).toString('hex');
const textOf = (value: unknown): unknown =>
  Array.isArray(value) ? value.map(textOf) : text(value as Buffer | string | null);

function plain({ headers = {}, key, value }: ProducedMessage) {
  const named = Object.entries(headers).map(([name, one]) => [name, textOf(one)]);
  return { key: text(key), value: text(value), headers: named };
}

async function readBatch(batch: Buffer) {
  const { records } = await decodeBatch(new Decoder(batch));
  return records.map((record, n) => {
    expect(record).toMatchObject({ offset: String(n), timestamp: String(nowMs) });
    return plain(record);
  });
}

describe('a produce request', () => {
  it('is read by kafkajs as what was sent, to every partition', async () => {
    const partitions = fc.array(messages, { minLength: 1, maxLength: 3 });
    const topics = fc.array(fc.tuple(fc.string({ unit: 'grapheme', maxLength: 70 }), partitions));
    await fc.assert(
      fc.asyncProperty(topics, async (given) => {
        const sent = given.map(([topic, lists]) => ({
          topic,
          partitions: lists.map((list, partition) => ({ partition, messages: list })),
        }));
        const request = produceRequest({ acks: -1, timeoutMs: 10_000, topics: sent, nowMs });
        const { batches, head, left } = readRequest(request);
        expect({ head, left }).toEqual({
          head: { transaction: -1, acks: -1, timeoutMs: 10_000 },
          left: 0,
        });
        const read = await Promise.all(
          batches.map(async ({ batch, partition, topic }) => {
            return { topic, partition, messages: await readBatch(batch) };
          }),
        );
        expect(read).toEqual(
          sent.flatMap(({ topic, partitions: places }) =>
            places.map(({ messages: list, partition }) => ({
              topic,
              partition,
              messages: list.map(plain),
            })),
          ),
        );
        for (const { batch } of batches) {
          expect(batch.readInt32BE(8)).toBe(batch.length - 12);
          expect(batch.readUInt32BE(17)).toBe(crc32c(batch, 21));
        }
      }),
      { numRuns: 60 },
    );
  });

  it('numbers no batches, belongs to no transaction and is not packed', () => {
    const topics = [{ topic: 't', partitions: [{ partition: 7, messages: [{ value: 'v' }] }] }];
    const [sent] = readRequest(produceRequest({ acks: 1, timeoutMs: 1, topics, nowMs })).batches;
    const batch = sent!.batch;
    expect({
      format: batch.readInt8(16),
      attributes: batch.readInt16BE(21),
      lastOffsetDelta: batch.readInt32BE(23),
      producer: batch.readBigInt64BE(43),
      epoch: batch.readInt16BE(51),
      sequence: batch.readInt32BE(53),
      count: batch.readInt32BE(57),
    }).toEqual({
      format: 2,
      attributes: 0,
      lastOffsetDelta: 0,
      producer: -1n,
      epoch: -1,
      sequence: -1,
      count: 1,
    });
  });
});

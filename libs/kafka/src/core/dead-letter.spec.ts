import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { deadLetter, withoutValue } from './dead-letter.ts';

const facts = {
  code: 'not_utf8' as const,
  detail: 'the value is not UTF-8',
  service: 'ingest' as const,
  attempts: 2,
  at: new Date('2026-01-02T03:04:05.678Z'),
};
const place = { topic: 'jobs.submitted.v1', partition: 2, offset: '9007199254740993' };

describe('a dead letter', () => {
  it('keeps key, value and headers as they are, whatever they hold', () => {
    const bytes = fc.uint8Array().map((array) => Buffer.from(array));
    fc.assert(
      fc.property(fc.option(bytes), fc.option(bytes), bytes, (key, value, header) => {
        const record = { ...place, key, value, headers: { own: header } };
        const letter = deadLetter(record, facts);
        expect(letter.key).toBe(key);
        expect(letter.value).toBe(value);
        expect(letter.headers['own']).toBe(header);
      }),
    );
  });

  it('tells why, from where and when', () => {
    expect(deadLetter({ ...place, key: null, value: null, headers: {} }, facts)).toEqual({
      topic: 'jobs.submitted.v1.dlq',
      key: null,
      value: null,
      headers: {
        'dlq-reason': 'not_utf8',
        'dlq-detail': 'the value is not UTF-8',
        'dlq-topic': 'jobs.submitted.v1',
        'dlq-partition': '2',
        'dlq-offset': '9007199254740993',
        'dlq-service': 'ingest',
        'dlq-attempts': '2',
        'dlq-at': '2026-01-02T03:04:05.678Z',
      },
    });
  });

  it('prefers the bytes of headers to their text', () => {
    const raw = Buffer.from([0xff]);
    const text = { ...place, key: null, value: null, headers: { h: '?' } };
    expect(deadLetter({ ...text, rawHeaders: { h: raw } }, facts).headers['h']).toBe(raw);
  });

  it('without its value says where the value stands', () => {
    const letter = deadLetter({ ...place, key: 'k', value: Buffer.alloc(9), headers: {} }, facts);
    expect(withoutValue(letter)).toMatchObject({
      key: 'k',
      value: null,
      headers: { 'dlq-detail': expect.stringContaining('too large'), 'dlq-offset': place.offset },
    });
  });
});

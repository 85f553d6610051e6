import { describe, expect, it } from '@jest/globals';
import { jsonDepthMax, kafkaRecordBytesMax, topics } from '@millrace/contracts';
import fc from 'fast-check';

import { decodeEvent, decodeJson } from './decode.ts';

const type = 'millrace.job.progressed.v1';
const progressed = {
  tenant: 'default',
  job_id: 'j1',
  status: 'running',
  attempt: 1,
  created_at: '2026-01-01T00:00:00Z',
  at: '2026-01-01T00:00:00Z',
};
const identity = (body: Buffer): Buffer => body;

describe('decoding a value', () => {
  it.each([
    ['null', null, 'empty_record'],
    ['empty', Buffer.alloc(0), 'empty_record'],
    ['a byte that is no UTF-8', Buffer.from([0x22, 0xc3, 0x28, 0x22]), 'not_utf8'],
    ['a lone surrogate', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]), 'not_utf8'],
    ['text', Buffer.from('hello'), 'malformed_json'],
    ['half an object', Buffer.from('{"a":'), 'malformed_json'],
    ['two values', Buffer.from('1 2'), 'malformed_json'],
    ['too deep', Buffer.from('['.repeat(jsonDepthMax + 1)), 'malformed_json'],
    ['too large', Buffer.alloc(kafkaRecordBytesMax + 1, 0x20), 'payload_too_large'],
  ])('says of %s what is wrong', (_, value, code) => {
    expect(decodeJson(value)).toMatchObject({ kind: 'bad', code });
  });

  it('gives back any JSON that is not too deep', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 20 }), (json) => {
        expect(decodeJson(Buffer.from(json))).toEqual({ kind: 'json', value: JSON.parse(json) });
      }),
    );
  });

  it('counts no brackets inside strings', () => {
    const text = JSON.stringify({ prompt: '[{"\\'.repeat(200) });
    expect(decodeJson(Buffer.from(text)).kind).toBe('json');
  });

  it('answers for any bytes, and throws for none', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(['json', 'bad']).toContain(decodeJson(Buffer.from(bytes)).kind);
      }),
    );
  });
});

describe('decoding an event', () => {
  const topic = topics.jobsProgressed;
  const decode = (headers: Record<string, string>, body: unknown) =>
    decodeEvent(topic, { value: Buffer.from(JSON.stringify(body)), headers }, identity);

  it('gives the data of a type in the topic table', () => {
    expect(decode({ ce_type: type, ce_id: 'x' }, progressed)).toEqual({
      kind: 'event',
      id: 'x',
      type,
      data: progressed,
    });
  });

  it.each([
    ['without a type', {}, progressed, 'unknown_type'],
    ['of another topic', { ce_type: 'millrace.claude.delta.v1' }, progressed, 'unknown_type'],
    ['of an inherited name', { ce_type: 'toString' }, progressed, 'unknown_type'],
    ['with a wrong field', { ce_type: type }, { ...progressed, attempt: 0 }, 'invalid_request'],
    ['that is no object', { ce_type: type }, 7, 'invalid_request'],
  ])('refuses an event %s', (_, headers, body, code) => {
    expect(decode(headers, body)).toMatchObject({ kind: 'bad', code });
  });

  it('names the field and never its content', () => {
    const answer = decode({ ce_type: type }, { ...progressed, status: 'secret-content' });
    expect(answer).toMatchObject({ detail: expect.stringContaining('status') });
    expect(JSON.stringify(answer)).not.toContain('secret-content');
  });
});

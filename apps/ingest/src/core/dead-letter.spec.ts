import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { bytesView, indexedLetter, originalHeaders, ownerOf } from './dead-letter.ts';

const record = {
  clusterId: 'c',
  topic: 'jobs.submitted.v1.dlq',
  partition: 1,
  offset: '7',
  key: null,
  value: Buffer.from('not json'),
  timestampMs: 1_000,
  headers: {
    'dlq-reason': 'malformed_json',
    'dlq-detail': 'the value is not JSON',
    'dlq-topic': 'jobs.submitted.v1',
    'dlq-partition': '2',
    'dlq-offset': '41',
    'dlq-service': 'ingest',
    'dlq-at': '2030-01-02T03:04:05.678Z',
    source: 'upstream',
  },
};

describe('a dead letter as it is indexed', () => {
  it('tells where the record lay and why nobody could use it', () => {
    expect(indexedLetter(record)).toMatchObject({
      tenant: 'default',
      topic: 'jobs.submitted.v1',
      partition: 2,
      offset: '41',
      code: 'malformed_json',
      detail: 'the value is not JSON',
      service: 'ingest',
      at: new Date('2030-01-02T03:04:05.678Z'),
    });
  });

  it('has one id however often it is read, and another in another place', () => {
    const { id } = indexedLetter(record);
    expect(indexedLetter({ ...record, headers: {} }).id).toBe(id);
    expect(indexedLetter({ ...record, offset: '8' }).id).not.toBe(id);
    expect(indexedLetter({ ...record, clusterId: 'd' }).id).not.toBe(id);
  });

  it('becomes a row that the database takes, whatever its headers say', () => {
    const headers = fc.dictionary(
      fc.constantFrom(...Object.keys(record.headers)),
      fc.string({ unit: 'binary' }),
    );
    fc.assert(
      fc.property(headers, (given) => {
        const letter = indexedLetter({ ...record, headers: given });
        const texts = [letter.topic, letter.offset, letter.code, letter.detail, letter.service];
        expect(texts.filter((text) => text.includes('\u0000') || !text.isWellFormed())).toEqual([]);
        expect(Number.isInteger(letter.partition)).toBe(true);
        expect(Number.isNaN(letter.at.getTime())).toBe(false);
      }),
    );
  });

  it('keeps the headers that the record had, without those that we added', () => {
    const raw = { ...record.headers, twice: [Buffer.from('a'), Buffer.from('b')] };
    const { headers } = indexedLetter({ ...record, rawHeaders: raw });
    expect(headers.filter(([name]) => name === 'twice')).toHaveLength(2);
    expect(Object.keys(originalHeaders(headers)).sort()).toEqual(['source', 'twice']);
  });
});

describe('the owner of a dead letter', () => {
  it.each([
    ['jobs.submitted.v1', 'other', 'default'],
    ['t.acme.jobs.submitted.v1', 'other', 'acme'],
    ['claude.requested.v1', 'other', 'other'],
    ['tools.completed.v1', 'other', ''],
    ['claude.requested.v1', 'Not A Tenant', ''],
    ['claude.requested.v1', undefined, ''],
    ['elsewhere.v1', 'other', ''],
  ])('of %s with ce_tenant %s is %p', (topic, tenant, owner) => {
    expect(ownerOf(topic, tenant === undefined ? {} : { ce_tenant: tenant })).toBe(owner);
  });
});

it('bytes that are no text are shown in base64', () => {
  expect(bytesView(Buffer.from('é'))).toEqual({ encoding: 'text', data: 'é' });
  expect(bytesView(Buffer.from([0xff, 0]))).toEqual({ encoding: 'base64', data: '/wA=' });
  expect(bytesView(null)).toBeNull();
});

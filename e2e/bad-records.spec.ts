import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { consume, ended, produce, uniqueId, until } from './running-stack.ts';

const topic = 'jobs.submitted.v1';

describe('bad records on the intake topic', () => {
  let deadLetters: Awaited<ReturnType<typeof consume>>;
  beforeAll(async () => {
    deadLetters = await consume(`${topic}.dlq`);
  });
  afterAll(() => deadLetters.stop());

  interface BadRecord {
    readonly what: string;
    readonly code: string;
    readonly value: (mark: string) => Buffer | null;
    readonly type?: string;
  }
  const cases: BadRecord[] = [
    { what: 'empty', code: 'empty_record', value: () => null },
    {
      what: 'not UTF-8',
      code: 'not_utf8',
      value: (mark) => Buffer.from([0x22, 0xc3, 0x28, ...Buffer.from(mark)]),
    },
    {
      what: 'not JSON',
      code: 'malformed_json',
      value: (mark) => Buffer.from(`{"mark": "${mark}`),
    },
    {
      what: 'of an unknown type',
      code: 'unknown_type',
      value: (mark) => Buffer.from(JSON.stringify({ prompt: mark })),
      type: 'millrace.job.sent-by-pigeon.v1',
    },
    {
      what: 'above 1 MiB',
      code: 'payload_too_large',
      value: (mark) => Buffer.from(JSON.stringify({ prompt: mark.padEnd(1024 * 1024, '.') })),
    },
    {
      what: 'without a readable job id',
      code: 'invalid_request',
      value: () => Buffer.from('{"prompt": 7}'),
    },
  ];

  it.each(cases)('one that is $what is a dead letter, code $code', async (bad) => {
    const key = uniqueId('bad');
    const value = bad.value(key);
    const headers = bad.type === undefined ? {} : cloudEvent(bad.type, key);
    const next = uniqueId('good');
    await produce(topic, [
      { key, value, headers, partition: 0 },
      { key: next, value: JSON.stringify({ job_id: next, prompt: 'Say hello.' }), partition: 0 },
    ]);
    expect((await ended(next)).status).toBe('succeeded');
    const letter = await until('the dead letter', 10_000, () =>
      deadLetters.records.find((record) => record.key === key),
    );
    expect(letter.headers).toMatchObject({ 'dlq-reason': bad.code, 'dlq-topic': topic });
    expect(letter.value).toEqual(value);
  });

  it('one with a readable job id becomes a failed job', async () => {
    const jobId = uniqueId('bad');
    const body = JSON.stringify({ job_id: jobId, prompt: 'Hi.', colour: 'red' });
    await produce(topic, [{ key: jobId, value: body }]);
    expect(await ended(jobId)).toMatchObject({
      status: 'failed',
      error: { code: 'invalid_request' },
    });
  });

  it('one that repeats an id with another body is a dead letter, the first stays', async () => {
    const jobId = uniqueId('twice');
    const record = (prompt: string) => ({
      key: jobId,
      value: JSON.stringify({ job_id: jobId, prompt }),
    });
    await produce(topic, [record('One.'), record('One.'), record('Two.')]);
    expect((await ended(jobId)).status).toBe('succeeded');
    const letter = await until('the dead letter', 10_000, () =>
      deadLetters.records.find((candidate) => candidate.key === jobId),
    );
    expect(letter.headers['dlq-reason']).toBe('idempotency_conflict');
  });
});

function cloudEvent(type: string, id: string): Record<string, string> {
  return {
    ce_id: id,
    ce_type: type,
    ce_source: 'e2e',
    ce_specversion: '1.0',
    'content-type': 'application/json',
  };
}

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { consume, ended, produce, uniqueId, until } from './running-stack.ts';

const topic = 'jobs.submitted.v1';

describe('bad records on the intake topic', () => {
  let deadLetters: Awaited<ReturnType<typeof consume>>;
  beforeAll(async () => {
    deadLetters = await consume(`${topic}.dlq`);
  });
  afterAll(() => deadLetters.stop());

  const cases: [what: string, code: string, value: (mark: string) => Buffer | null, type?: string][] =
    [
      ['empty', 'empty_record', () => null],
      ['not UTF-8', 'not_utf8', (mark) => Buffer.from([0x22, 0xc3, 0x28, ...Buffer.from(mark)])],
      ['not JSON', 'malformed_json', (mark) => Buffer.from(`{"mark": "${mark}"`)],
      [
        'of an unknown type',
        'unknown_type',
        (mark) => Buffer.from(JSON.stringify({ prompt: mark })),
        'millrace.job.sent-by-pigeon.v1',
      ],
      ['without a readable job id', 'invalid_request', () => Buffer.from('{"prompt": 7}')],
    ];

  it.each(cases)('one that is %s is a dead letter, code %s', async (_, code, makeValue, type) => {
    const key = uniqueId('bad');
    const value = makeValue(key);
    const headers = type === undefined ? {} : cloudEvent(type, key);
    const next = uniqueId('good');
    await produce(topic, [
      { key, value, headers, partition: 0 },
      { key: next, value: JSON.stringify({ job_id: next, prompt: 'Say hello.' }), partition: 0 },
    ]);
    expect((await ended(next)).status).toBe('succeeded');
    const letter = await until('the dead letter', 10_000, () =>
      deadLetters.records.find((record) => record.key === key),
    );
    expect(letter.headers).toMatchObject({ 'dlq-reason': code, 'dlq-topic': topic });
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

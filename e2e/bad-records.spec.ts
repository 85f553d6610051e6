import { execFileSync, spawnSync } from 'node:child_process';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { CompressionTypes } from 'kafkajs';

import { consume, ended, produce, stack, uniqueId, until } from './running-stack.ts';

const topic = 'jobs.submitted.v1';
const kcatIsThere = spawnSync('kcat', ['-V']).status === 0;

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

  it('a batch that unpacks to 256 MiB is one dead letter, and delays nobody', async () => {
    const before = deadLetters.records.length;
    // A broker looks at the size of a batch as it is packed.
    const bomb = { key: uniqueId('bomb'), value: Buffer.alloc(256 * 1024 * 1024), partition: 0 };
    await produce(topic, [bomb], CompressionTypes.GZIP);
    const next = uniqueId('good');
    const good = { job_id: next, prompt: 'Say hello.' };
    await produce(topic, [{ key: next, value: JSON.stringify(good), partition: 0 }]);
    expect((await ended(next)).status).toBe('succeeded');
    const letter = await until('the dead letter', 10_000, () =>
      deadLetters.records
        .slice(before)
        .find(({ headers }) => headers['dlq-detail']?.includes('unpacks to too much')),
    );
    expect(letter.headers).toMatchObject({ 'dlq-reason': 'payload_too_large', 'dlq-topic': topic });
    expect(letter.value?.length).toBeGreaterThan(100_000);
  });

  (kcatIsThere ? it.each : it.skip.each)(['gzip', 'snappy', 'lz4', 'zstd'])(
    'a batch that kcat packed by %s is no bad one: its jobs are done',
    async (packing) => {
      const ids = Array.from({ length: 5 }, () => uniqueId(packing));
      const lines = ids.map((id) => JSON.stringify({ job_id: id, prompt: 'Say hello.' }));
      execFileSync('kcat', ['-b', stack.kafka, '-t', topic, '-P', '-z', packing], {
        input: lines.join('\n'),
      });
      const statuses = await Promise.all(ids.map(async (id) => (await ended(id)).status));
      expect(statuses).toEqual(ids.map(() => 'succeeded'));
    },
  );

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

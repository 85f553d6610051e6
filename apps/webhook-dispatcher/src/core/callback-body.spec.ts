import { createHash } from 'node:crypto';

import { describe, expect, it } from '@jest/globals';
import { callbackBodySchema, inlineBodyBytesMax, jobFinishedSchema } from '@millrace/contracts';
import fc from 'fast-check';

import { callbackBodyOf } from './callback-body.ts';

const publicUrl = 'https://api.example/';
const job = jobFinishedSchema.parse({
  tenant: 'default',
  job_id: 'job:1',
  type: 'message',
  status: 'succeeded',
  model: 'claude-sonnet-5-5',
  result: 'grüße',
  message: { content: [{ type: 'text', text: 'grüße' }] },
  usage: { input_tokens: 3, output_tokens: 5 },
  attempts: [],
  stand_in: true,
  callback: { url: 'https://example.com/hook' },
  metadata: { order: '7' },
  created_at: '2026-11-23T09:59:59.000Z',
  finished_at: '2026-11-23T10:00:00.000Z',
});

function read(body: Buffer) {
  return callbackBodySchema.parse(JSON.parse(body.toString('utf8')));
}

describe('callbackBodyOf', () => {
  it("has the article's shape, and no more than the receiver needs", () => {
    expect(JSON.parse(callbackBodyOf(job, publicUrl).toString('utf8'))).toEqual({
      job_id: 'job:1',
      status: 'succeeded',
      result: 'grüße',
      usage: { input_tokens: 3, output_tokens: 5 },
      stand_in: true,
      finished_at: '2026-11-23T10:00:00.000Z',
      metadata: { order: '7' },
    });
  });

  it('tells why a job failed', () => {
    const error = { code: 'refusal' as const, detail: 'Claude declined' };
    const { result: _result, ...rest } = job;
    const body = read(callbackBodyOf({ ...rest, status: 'failed', error }, publicUrl));
    expect(body).toMatchObject({ status: 'failed', result: null, error });
  });

  it('becomes thin above 256 KiB, and says where the result is', () => {
    const thick = { ...job, result: 'é'.repeat(inlineBodyBytesMax / 2) };
    const bytes = callbackBodyOf(thick, publicUrl);
    const body = read(bytes);
    expect(bytes.length).toBeLessThan(2_000);
    expect(body).toMatchObject({
      status: 'succeeded',
      result: null,
      truncated: true,
      result_url: 'https://api.example/v1/jobs/job%3A1',
    });
    expect(body.size).toBeGreaterThan(inlineBodyBytesMax);
    expect(body.sha256).toMatch(/^[0-9a-f]{64}$/);
  });

  it('hashes the body that was not sent', () => {
    const thick = { ...job, result: 'x'.repeat(inlineBodyBytesMax) };
    const { size, sha256 } = read(callbackBodyOf(thick, publicUrl));
    const full = Buffer.from(
      JSON.stringify({ ...read(callbackBodyOf(job, publicUrl)), result: thick.result }),
    );
    expect(size).toBe(full.length);
    expect(sha256).toBe(createHash('sha256').update(full).digest('hex'));
  });

  it('is thin when the result travels by reference: blobs are not read here', () => {
    const { result: _result, message: _message, ...rest } = job;
    const body = read(callbackBodyOf({ ...rest, message_ref: 'blob_x' }, publicUrl));
    expect(body).toMatchObject({ result: null, truncated: true });
    expect(body.size).toBeUndefined();
  });

  it('is never above its limit', () => {
    const texts = fc.string({ unit: 'grapheme', maxLength: 10_000 });
    fc.assert(
      fc.property(texts, fc.integer({ min: 1, max: 100 }), (text, times) => {
        const body = callbackBodyOf({ ...job, result: text.repeat(times) }, publicUrl);
        expect(body.length).toBeLessThanOrEqual(inlineBodyBytesMax);
        read(body);
      }),
      { numRuns: 30 },
    );
  });
});

import { describe, expect, it } from '@jest/globals';
import type { ExchangeResult } from '@millrace/egress';

import { httpResult } from './http-result.ts';

const context = { bytesMax: 100, timeoutMs: 1_000, nowMs: 0 };

function response(status: number, fields: Partial<ResponseFields> = {}): ExchangeResult {
  const { body = '', headers = {}, cut = false } = fields;
  const timings = { totalMs: 1 };
  return { kind: 'response', status, headers, body: Buffer.from(body), cut, timings };
}
interface ResponseFields {
  readonly body: string | Buffer;
  readonly headers: Record<string, string>;
  readonly cut: boolean;
}

const json = { 'content-type': 'application/problem+json; charset=utf-8' };

describe('an HTTP answer', () => {
  it.each([
    ['text', response(200, { body: 'hello' }), 'hello'],
    ['JSON', response(201, { body: '{"a":[1]}', headers: json }), { a: [1] }],
    ['nothing', response(204, { headers: json }), ''],
  ])('of %s is the output', (_, result, output) => {
    expect(httpResult(result, context)).toMatchObject({ kind: 'output', output });
  });

  it.each([
    ['that was cut off', response(200, { body: 'a', cut: true }), 'result_too_large'],
    ['that is no JSON', response(200, { body: '{', headers: json }), 'invalid_result'],
    ['that is no text', response(200, { body: Buffer.from([0xff]) }), 'invalid_result'],
    [
      'that is too deep',
      response(200, { body: '['.repeat(60) + ']'.repeat(60), headers: json }),
      'invalid_result',
    ],
  ])('%s is a failure for good', (_, result, code) => {
    expect(httpResult(result, context)).toMatchObject({ failure: { code }, transient: false });
  });

  it.each([
    [301, false],
    [400, false],
    [404, false],
    [408, true],
    [425, true],
    [429, true],
    [500, true],
    [503, true],
  ])('%i may pass: %p', (status, transient) => {
    const result = httpResult(response(status), context);
    expect(result).toMatchObject({ failure: { code: 'tool_failed' }, transient, status });
  });

  it('says of an error what its server says, and no more than the model needs', () => {
    const result = httpResult(response(500, { body: 'a'.repeat(2_000) }), context);
    const detail = `the tool answered 500: ${'a'.repeat(500)}`;
    expect(result).toMatchObject({ failure: { detail } });
  });

  it('may ask for time', () => {
    const result = httpResult(response(429, { headers: { 'retry-after': '7' } }), context);
    expect(result).toMatchObject({ transient: true, retryAfterMs: 7_000 });
  });
});

describe('no answer', () => {
  const timings = { totalMs: 1 };

  it('from a blocked address is a failure for good', () => {
    const result = httpResult({ kind: 'blocked', reason: 'private', timings }, context);
    expect(result).toMatchObject({ failure: { code: 'blocked_address' }, transient: false });
  });

  it.each([
    ['timeout', 'tool_timeout'],
    ['refused', 'tool_failed'],
    ['dns', 'tool_failed'],
    ['reset', 'tool_failed'],
  ] as const)('for %s may pass', (failure, code) => {
    const result = httpResult({ kind: 'failed', class: failure, timings }, context);
    expect(result).toMatchObject({ failure: { code }, transient: true });
  });

  it('says how long it was waited for as people do', () => {
    const result = httpResult(
      { kind: 'failed', class: 'timeout', timings },
      { ...context, timeoutMs: 2_995.070_02 },
    );
    expect(result).toMatchObject({ failure: { detail: 'the tool did not answer within 3 s' } });
  });

  it.each(['local', 'aborted'] as const)('for %s is no attempt', (failure) => {
    const result = httpResult({ kind: 'failed', class: failure, timings }, context);
    expect(result.kind).toBe('postponed');
  });
});

import { describe, expect, it } from '@jest/globals';
import { errorCodes, jobIdSchema, kafkaRecordBytesMax } from '@millrace/contracts';
import fc from 'fast-check';

import { decodeRecord, type DecodedRecord } from './decode-record.ts';
import type { IntakeRules } from './judge-submission.ts';

const rules: IntakeRules = {
  defaultModel: 'claude-sonnet-5-5',
  checkUrl: (raw) =>
    raw.startsWith('https://')
      ? { ok: true }
      : { ok: false, code: 'unsafe_callback_url', detail: 'not https' },
};
const timestampMs = Date.parse('2026-11-24T10:00:00Z');
const place = { clusterId: 'c', topic: 't', partition: 1, timestampMs };
const ce = { ce_type: 'millrace.job.submitted.v1' };

function decode(
  value: Uint8Array | string | null,
  headers: Record<string, string> = {},
): DecodedRecord {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  return decodeRecord({ ...place, offset: '7', value: bytes, headers }, rules);
}

const decodeJson = (body: unknown, headers?: Record<string, string>) =>
  decode(JSON.stringify(body), headers);

describe('a record', () => {
  it('in the bare form becomes a message job', () => {
    const decoded = decodeJson({ job_id: 'a', prompt: 'p', submitted_at: 1 });
    expect(decoded).toMatchObject({
      kind: 'accepted',
      id: 'a',
      order: { type: 'message', model: 'claude-sonnet-5-5', lane: 'standard', stream: false },
    });
  });

  it('as a CloudEvent takes every field of a submission', () => {
    const params = { messages: [{ role: 'user', content: 'x' }], stream: true, max_tokens: 5 };
    const decoded = decodeJson({ job_id: 'a', params, session_id: 's', lane: 'bulk' }, ce);
    expect(decoded).toMatchObject({
      kind: 'accepted',
      order: { sessionId: 's', lane: 'bulk', stream: true, params: { max_tokens: 5 } },
    });
  });

  it('without an id gets the same one whenever it is read, and another one elsewhere', () => {
    const value = Buffer.from('{"prompt":"p"}');
    const at = (offset: string) =>
      decodeRecord({ ...place, offset, value, headers: {} }, rules);
    expect(at('1')).toEqual(at('1'));
    const [one, two] = [at('1'), at('2')];
    expect(one.kind === 'accepted' && two.kind === 'accepted' && one.id !== two.id).toBe(true);
  });

  it.each<[string, Uint8Array | string | null, Record<string, string>, string]>([
    ['a later version', '{"job_id":"a"}', { ce_type: 'millrace.job.submitted.v2' }, 'unknown_type'],
    ['a later CloudEvents', '{"job_id":"a"}', { ...ce, ce_specversion: '2.0' }, 'unknown_type'],
    ['nothing', null, {}, 'empty_record'],
    ['no bytes', '', {}, 'empty_record'],
    ['bad bytes', Buffer.from([0xc3, 0x28]), {}, 'not_utf8'],
    ['text', 'hello', {}, 'malformed_json'],
    ['a number', '7', {}, 'invalid_request'],
    ['too many bytes', Buffer.alloc(kafkaRecordBytesMax + 1, 0x20), {}, 'payload_too_large'],
    ['another type', '{"prompt":"p"}', { ce_type: 'x' }, 'unknown_type'],
    ['a bad id', '{"job_id":" ","prompt":"p"}', {}, 'invalid_request'],
    ['params in the bare form', '{"params":{}}', {}, 'invalid_request'],
  ])('with %s is unreadable', (_what, value, headers, code) => {
    expect(decode(value, headers)).toMatchObject({ kind: 'unreadable', code });
  });

  it.each<[string, object, string]>([
    ['an unknown field', { prompt: 'p', x: 1 }, 'invalid_request'],
    ['a wrong type', { prompt: 7 }, 'invalid_request'],
    ['an unsafe callback', { prompt: 'p', callback_url: 'http://x' }, 'unsafe_callback_url'],
  ])('with a readable id and %s is a refused job', (_what, body, code) => {
    expect(decodeJson({ job_id: 'a', ...body })).toMatchObject({
      kind: 'refused',
      job: { id: 'a', code },
    });
  });

  it('says which header is missing when its fields are those of an event', () => {
    const detailOf = (body: object) => {
      const decoded = decodeJson({ job_id: 'a', prompt: 'p', ...body });
      return decoded.kind === 'refused' ? decoded.job.detail : 'not refused';
    };
    expect(detailOf({ session_id: 's' })).toContain('ce_type: millrace.job.submitted.v1');
    expect(detailOf({ x: 1 })).not.toContain('ce_type');
  });

  it('is judged by its own time, so that it is judged alike whenever it is read', () => {
    const at = (complete_by: string) => decodeJson({ job_id: 'a', prompt: 'p', complete_by }, ce);
    expect(at('2026-11-24T10:00:00.001Z')).toMatchObject({ kind: 'accepted' });
    expect(at('2026-11-24T10:00:00Z')).toMatchObject({
      kind: 'refused',
      job: { code: 'invalid_request', detail: 'complete_by has passed' },
    });
  });

  it('that is refused keeps its callback only when that is safe', () => {
    const refused = (callback_url: string) => {
      const decoded = decodeJson({ job_id: 'a', x: 1, callback_url });
      return decoded.kind === 'refused' ? decoded.job.callbackUrl : 'not refused';
    };
    expect(refused('https://a')).toBe('https://a');
    expect(refused('http://a')).toBeUndefined();
  });

  it('that is deep or poisoned is refused', () => {
    const deep = `{"job_id":"a","prompt":${'['.repeat(5_000)}${']'.repeat(5_000)}}`;
    expect(decode(deep)).toMatchObject({ kind: 'refused', job: { code: 'invalid_request' } });
    const poisoned = '{"job_id":"a","prompt":"p","__proto__":{"x":1}}';
    expect(decode(poisoned)).toMatchObject({ kind: 'refused' });
  });

  it('never makes the decoder throw', () => {
    const values = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.json().map((json) => Buffer.from(json)),
      fc
        .record(
          {
            job_id: fc.oneof(fc.string(), fc.constant('ok')),
            prompt: fc.oneof(fc.string(), fc.jsonValue()),
            params: fc.jsonValue(),
            callback_url: fc.oneof(fc.webUrl(), fc.jsonValue()),
          },
          { requiredKeys: [] },
        )
        .map((body) => Buffer.from(JSON.stringify(body))),
    );
    const headers = fc.oneof(fc.constant({}), fc.constant(ce), fc.constant({ ce_type: '' }));
    fc.assert(
      fc.property(values, headers, (value, given) => {
        const decoded = decode(value, given);
        if (decoded.kind === 'unreadable') expect(errorCodes).toHaveProperty(decoded.code);
        else {
          const id = decoded.kind === 'accepted' ? decoded.id : decoded.job.id;
          expect(jobIdSchema.safeParse(id).success).toBe(true);
        }
      }),
    );
  });
});

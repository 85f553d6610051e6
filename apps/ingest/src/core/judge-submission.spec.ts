import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { canonicalJson } from './canonical-json.ts';
import { judgeSubmission, requestHash, type IntakeRules } from './judge-submission.ts';

const rules: IntakeRules = {
  defaultModel: 'm',
  checkUrl: (raw) =>
    raw === 'https://good'
      ? { ok: true }
      : { ok: false, code: 'unsafe_callback_url', detail: 'no' },
};

function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).reverse().map(([name, member]) => [name, reversed(member)]),
  );
}

describe('the hash of a request', () => {
  it('is the same whatever the order of the keys', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (params) => {
        const other = reversed(params);
        expect(canonicalJson(other)).toBe(canonicalJson(params));
        const a = requestHash({ type: 'message', params });
        const b = requestHash({ params: Object(other), type: 'message' });
        expect(a.equals(b)).toBe(true);
      }),
    );
  });

  it('is canonical JSON: it reads back as the same value', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  it('knows a default from nothing, and other content from the same', () => {
    const hash = (prompt: string, lane?: 'standard' | 'bulk') =>
      requestHash({ type: 'message', prompt, lane }).toString('hex');
    expect(hash('a')).toBe(hash('a', 'standard'));
    expect(hash('a')).not.toBe(hash('a', 'bulk'));
    expect(hash('a')).not.toBe(hash('b'));
  });

  it('knows other times, and the same ones however they are written', () => {
    const hash = (times: { run_at?: string; complete_by?: string }) =>
      requestHash({ type: 'message', prompt: 'a', ...times }).toString('hex');
    const early = '2026-11-24T10:00:00Z';
    const late = '2026-11-24T11:00:00Z';
    const hashes = [{}, { run_at: early }, { run_at: late }, { complete_by: early }].map(hash);
    expect(new Set(hashes).size).toBe(hashes.length);
    expect(hash({ run_at: '2026-11-24T11:00:00.000+01:00' })).toBe(hash({ run_at: early }));
  });

  it('knows another budget', () => {
    const hash = (usd?: number) =>
      requestHash({ type: 'agent', prompt: 'a', budget: { usd } }).toString('hex');
    expect(hash(1)).toBe(hash(1));
    expect(hash(1)).not.toBe(hash(2));
  });

  it('does not change with what is filled in', () => {
    const judge = (defaultModel: string) => {
      const judged = judgeSubmission({ type: 'message', prompt: 'p' }, { ...rules, defaultModel });
      return judged.ok ? judged.order : null;
    };
    expect(judge('one')!.model).not.toBe(judge('two')!.model);
    expect(judge('one')!.requestHash.equals(judge('two')!.requestHash)).toBe(true);
  });
});

describe('a submission', () => {
  it('with a prompt becomes one user message', () => {
    const judged = judgeSubmission({ type: 'message', prompt: 'p' }, rules);
    expect(judged).toMatchObject({
      ok: true,
      order: { params: { messages: [{ role: 'user', content: 'p' }] }, lane: 'standard' },
    });
  });

  it('that has to end before it may begin is refused', () => {
    const times = { run_at: '2026-11-24T11:00:00Z', complete_by: '2026-11-24T11:30:00+01:00' };
    const judged = judgeSubmission({ type: 'agent', prompt: 'p', ...times }, rules);
    expect(judged).toMatchObject({
      ok: false,
      refusal: { code: 'invalid_request', errors: [{ path: 'complete_by' }] },
    });
  });

  it.each([
    ['https://good', true],
    ['http://bad', false],
  ])('with the callback %s: %j', (callback_url, ok) => {
    const judged = judgeSubmission({ type: 'message', prompt: 'p', callback_url }, rules);
    expect(judged.ok).toBe(ok);
    if (!judged.ok) expect(judged.refusal.code).toBe('unsafe_callback_url');
  });
});

import { createHmac, randomBytes } from 'node:crypto';

import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Webhook } from 'standardwebhooks';

import { checkSignature, type SignatureTerms } from './check-signature.ts';

const secretOf = () => `whsec_${randomBytes(32).toString('base64')}`;
const secret = secretOf();
const nowMs = Date.UTC(2026, 10, 24, 12);
const body = Buffer.from('{"job_id":"job_1","result":"grüße"}');

const terms: SignatureTerms = {
  scheme: 'standard',
  secrets: [secret],
  nowMs,
  toleranceSeconds: 300,
};

/** As a sender signs that is not ours. */
function signed(o: { at?: number; by?: readonly string[]; body?: Buffer; id?: string } = {}) {
  const { at = nowMs, by = [secret], id = 'msg_1' } = o;
  const content = o.body ?? body;
  const signatures = by.map((each) =>
    new Webhook(each).sign(id, new Date(at), content.toString('utf8')),
  );
  return request({
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(at / 1000)),
    'webhook-signature': signatures.join(' '),
    'x-webhook-signature': createHmac('sha256', by[0] ?? '').update(content).digest('hex'),
  });
}

function request(headers: Record<string, string>, content: Buffer = body) {
  return { headers, header: (name: string) => headers[name], body: content };
}

describe('checkSignature, standard', () => {
  it('believes what somebody else’s library has signed, whatever the text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.uuid(), (text, id) => {
        const content = Buffer.from(text);
        const { header } = signed({ body: content, id });
        expect(checkSignature({ header, body: content }, terms)).toBeNull();
      }),
      { numRuns: 50 },
    );
  });

  it('refuses a change of any byte of the body', () => {
    fc.assert(
      fc.property(fc.nat(body.length - 1), fc.integer({ min: 1, max: 255 }), (at, by) => {
        const changed = Buffer.from(body);
        changed[at] = (changed[at] ?? 0) ^ by;
        const { header } = signed();
        expect(checkSignature({ header, body: changed }, terms)).toBe('bad_signature');
      }),
    );
  });

  it.each([
    ['webhook-id', 'msg_2', 'bad_signature'],
    ['webhook-timestamp', String(nowMs / 1000 + 1), 'bad_signature'],
    ['webhook-timestamp', 'yesterday', 'stale'],
    ['webhook-timestamp', '1e12', 'stale'],
    ['webhook-timestamp', '-1', 'stale'],
    ['webhook-signature', '', 'missing_header'],
    ['webhook-signature', 'v1,', 'bad_signature'],
    ['webhook-signature', 'v1', 'bad_signature'],
    ['webhook-id', '', 'missing_header'],
  ])('refuses %s: %j as %s', (name, value, refusal) => {
    const { headers } = signed();
    expect(checkSignature(request({ ...headers, [name]: value }), terms)).toBe(refusal);
  });

  it.each([-301, 301])('refuses one that is %d seconds off', (seconds) => {
    const asked = signed({ at: nowMs + seconds * 1000 });
    expect(checkSignature(asked, terms)).toBe('stale');
  });

  it.each([-299, 0, 299])('believes one that is %d seconds off', (seconds) => {
    expect(checkSignature(signed({ at: nowMs + seconds * 1000 }), terms)).toBeNull();
  });

  it('believes any of its secrets and any of the signatures, as in a rotation', () => {
    const [older, newer] = [secretOf(), secretOf()];
    const both = signed({ by: [newer, older] });
    for (const secrets of [[older], [newer], [secret, older]]) {
      expect(checkSignature(both, { ...terms, secrets })).toBeNull();
    }
    expect(checkSignature(both, { ...terms, secrets: [secret] })).toBe('bad_signature');
  });

  it('looks at sixteen signatures and no more', () => {
    const { headers } = signed();
    const flood = (n: number) => `${'v1,AAAA '.repeat(n)}${headers['webhook-signature']}`;
    const after = (n: number) => request({ ...headers, 'webhook-signature': flood(n) });
    expect(checkSignature(after(15), terms)).toBeNull();
    expect(checkSignature(after(16), terms)).toBe('bad_signature');
  });

  it('takes no hex signature in its place', () => {
    const { headers } = signed();
    const { 'webhook-signature': _gone, ...rest } = headers;
    expect(checkSignature(request(rest), terms)).toBe('missing_header');
  });
});

describe('checkSignature, hex', () => {
  const hex: SignatureTerms = { ...terms, scheme: 'hex' };

  it('keys with the text of the secret, whole', () => {
    expect(checkSignature(signed(), hex)).toBeNull();
    expect(checkSignature(signed(), { ...hex, secrets: [secretOf()] })).toBe('bad_signature');
  });

  it('has no time in it', () => {
    expect(checkSignature(signed({ at: 0 }), hex)).toBeNull();
  });

  it('refuses what is not there, or another body', () => {
    expect(checkSignature(request({}), hex)).toBe('missing_header');
    const { headers } = signed();
    expect(checkSignature(request(headers, Buffer.from('{}')), hex)).toBe('bad_signature');
  });
});

import { createHmac, randomBytes } from 'node:crypto';

import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Webhook as StandardWebhook } from 'standardwebhooks';
import { Webhook as SvixWebhook } from 'svix';

import { signatureHeaders, signingKeysOf } from './signature.ts';

const secrets = Array.from({ length: 10 }, () => `whsec_${randomBytes(32).toString('base64')}`);
const bodies = fc.oneof(fc.json(), fc.string({ unit: 'grapheme' }).map((s) => JSON.stringify(s)));
const live = fc.shuffledSubarray(secrets, { minLength: 1, maxLength: 10 });

function sign(body: string, keys: readonly string[]): Record<string, string> {
  return signatureHeaders({
    id: 'msg_x',
    timestampSeconds: Math.floor(Date.now() / 1_000),
    body: Buffer.from(body),
    keys: keys.map(signingKeysOf),
  });
}

describe('signatureHeaders', () => {
  it('verifies with standardwebhooks and svix, with every live secret', () => {
    fc.assert(
      fc.property(bodies, live, (body, keys) => {
        const headers = sign(body, keys);
        for (const key of keys) {
          const parsed = JSON.parse(body);
          expect(new StandardWebhook(key).verify(body, headers)).toEqual(parsed);
          expect(new SvixWebhook(key).verify(body, headers)).toEqual(parsed);
        }
      }),
      { numRuns: 50 },
    );
  });

  it('is refused by both for another body or another secret', () => {
    const headers = sign('{"a":1}', secrets.slice(0, 2));
    for (const Webhook of [StandardWebhook, SvixWebhook]) {
      expect(() => new Webhook(secrets[0] ?? '').verify('{"a":2}', headers)).toThrow();
      expect(() => new Webhook(secrets[2] ?? '').verify('{"a":1}', headers)).toThrow();
    }
  });

  it("passes the article receiver's check with the newest secret pasted in", () => {
    fc.assert(
      fc.property(bodies, live, (body, keys) => {
        const expected = createHmac('sha256', keys[0] ?? '').update(body).digest('hex');
        expect(sign(body, keys)['x-webhook-signature']).toBe(expected);
      }),
    );
  });

  it('gives one v1 signature a live secret, newest first', () => {
    const both = sign('{}', secrets.slice(0, 2))['webhook-signature']?.split(' ');
    const [newest] = sign('{}', secrets.slice(0, 1))['webhook-signature']?.split(' ') ?? [];
    expect(both).toHaveLength(2);
    expect(both?.[0]).toBe(newest);
  });
});

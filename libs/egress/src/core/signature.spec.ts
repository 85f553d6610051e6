import { createHmac, randomBytes } from 'node:crypto';

import Anthropic from '@anthropic-ai/sdk';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import OpenAI from 'openai';
import { Webhook as StandardWebhook } from 'standardwebhooks';
import { Webhook as SvixWebhook } from 'svix';

import { signatureHeaders, signingKeysOf } from './signature.ts';

const secrets = Array.from({ length: 10 }, () => `whsec_${randomBytes(32).toString('base64')}`);
/** They verify by themselves and call nobody. */
const anthropic = new Anthropic({ apiKey: 'none' });
const openai = new OpenAI({ apiKey: 'none' });
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

  it('verifies with the clients of Anthropic and OpenAI, with every live secret', async () => {
    await fc.assert(
      fc.asyncProperty(bodies, live, async (body, keys) => {
        const headers = sign(body, keys);
        const parsed: unknown = JSON.parse(body);
        for (const key of keys) {
          expect(anthropic.beta.webhooks.unwrap(body, { headers, key })).toEqual(parsed);
          expect(await openai.webhooks.unwrap(body, headers, key)).toEqual(parsed);
        }
      }),
      { numRuns: 50 },
    );
  });

  it('is refused by both clients for another body or another secret', async () => {
    const headers = sign('{"a":1}', secrets.slice(0, 2));
    const [known = '', , other = ''] = secrets;
    for (const [body, key] of [['{"a":2}', known], ['{"a":1}', other]] as const) {
      expect(() => anthropic.beta.webhooks.unwrap(body, { headers, key })).toThrow();
      await expect(openai.webhooks.unwrap(body, headers, key)).rejects.toThrow();
    }
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

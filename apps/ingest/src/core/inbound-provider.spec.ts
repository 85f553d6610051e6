import { createHmac } from 'node:crypto';

import { describe, expect, it } from '@jest/globals';
import { inboundProviders, type InboundProvider } from '@millrace/contracts';
import fc from 'fast-check';

import {
  handshakeOf,
  inboundBytesMaxOf,
  inboundFactsOf,
  isSigned,
  type InboundRequest,
} from './inbound-provider.ts';

const nowMs = Date.UTC(2026, 10, 24, 12);
const secret = 'whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=';
const body = Buffer.from('{"id": "evt_1", "type": "issue.opened", "text": "grüße"}');
const seconds = nowMs / 1000;

type Headers = Readonly<Record<string, string>>;

const hex = (key: string, text: string | Buffer) =>
  createHmac('sha256', key).update(text).digest('hex');
const with_ = (before: string, content: Buffer) => Buffer.concat([Buffer.from(before), content]);

/** As the documents of each provider say that it signs. */
const signers: Record<InboundProvider, (content: Buffer, atMs: number, key: string) => Headers> = {
  github: (content, _at, key) => ({ 'x-hub-signature-256': `sha256=${hex(key, content)}` }),
  stripe: (content, at, key) => ({
    'stripe-signature': `t=${at / 1000},v1=${hex(key, with_(`${at / 1000}.`, content))},v0=old`,
  }),
  slack: (content, at, key) => ({
    'x-slack-request-timestamp': String(at / 1000),
    'x-slack-signature': `v0=${hex(key, with_(`v0:${at / 1000}:`, content))}`,
  }),
  zendesk: (content, at, key) => {
    const timestamp = new Date(at).toISOString();
    const mac = createHmac('sha256', key).update(with_(timestamp, content)).digest('base64');
    return {
      'x-zendesk-webhook-signature-timestamp': timestamp,
      'x-zendesk-webhook-signature': mac,
    };
  },
  standard: (content, at, key) => {
    const mac = createHmac('sha256', Buffer.from(key.slice(6), 'base64'));
    const signature = mac.update(with_(`msg_1.${at / 1000}.`, content)).digest('base64');
    return {
      'webhook-id': 'msg_1',
      'webhook-timestamp': String(at / 1000),
      'webhook-signature': `v1,bm90IGl0 v1,${signature}`,
    };
  },
  generic: (content, _at, key) => ({ 'x-signature': `sha256=${hex(key, content)}` }),
};

const terms = { secrets: [secret], nowMs, signatureHeader: 'x-signature' };
const request = (headers: Headers, content = body): InboundRequest => ({
  header: (name) => headers[name],
  body: content,
});
/** Those that sign a time. */
const timed: readonly InboundProvider[] = ['stripe', 'slack', 'zendesk', 'standard'];

describe.each(inboundProviders)('a webhook of %s', (provider) => {
  const signed = (o: { at?: number; key?: string; content?: Buffer } = {}) =>
    signers[provider](o.content ?? body, o.at ?? nowMs, o.key ?? secret);

  it('is believed when it is signed, with whichever secret', () => {
    expect(isSigned(provider, request(signed()), terms)).toBe(true);
    const other = 'whsec_b3RoZXJvdGhlcm90aGVyb3RoZXI=';
    const both = { ...terms, secrets: [other, secret] };
    expect(isSigned(provider, request(signed()), both)).toBe(true);
    expect(isSigned(provider, request(signed({ key: other })), both)).toBe(true);
    expect(isSigned(provider, request(signed({ key: other })), terms)).toBe(false);
  });

  it('is not believed without its headers, or with any of them empty', () => {
    expect(isSigned(provider, request({}), terms)).toBe(false);
    for (const name of Object.keys(signed())) {
      expect(isSigned(provider, request({ ...signed(), [name]: '' }), terms)).toBe(false);
    }
  });

  it('is not believed when any byte of it was changed', () => {
    fc.assert(
      fc.property(fc.nat(body.length - 1), fc.integer({ min: 1, max: 255 }), (at, by) => {
        const changed = Buffer.from(body);
        changed[at] = (changed[at] ?? 0) ^ by;
        expect(isSigned(provider, request(signed(), changed), terms)).toBe(false);
      }),
      { numRuns: 30 },
    );
  });

  it('is fresh for five minutes, where a time is signed', () => {
    for (const offBy of [-299_000, 299_000]) {
      expect(isSigned(provider, request(signed({ at: nowMs + offBy })), terms)).toBe(true);
    }
    for (const offBy of [-301_000, 301_000]) {
      const believed = isSigned(provider, request(signed({ at: nowMs + offBy })), terms);
      expect(believed).toBe(!timed.includes(provider));
    }
  });

  it('is not believed for another time than was signed', () => {
    if (!timed.includes(provider)) return;
    const later = signed({ at: nowMs + 1_000 });
    const now = signed();
    const mixed = Object.entries(now).map(([name, value]) => [
      name,
      /timestamp/.test(name) ? (later[name] ?? value) : value,
    ]);
    const stripe = { 'stripe-signature': `t=${seconds + 1},${now['stripe-signature']?.slice(13)}` };
    const headers = provider === 'stripe' ? stripe : Object.fromEntries(mixed);
    expect(isSigned(provider, request(headers), terms)).toBe(false);
  });
});

describe('what a delivery is called', () => {
  const facts = (provider: InboundProvider, headers: Headers, payload: unknown) =>
    inboundFactsOf({ provider, deliveryHeader: null }, request(headers), payload);

  it.each<[InboundProvider, Headers, unknown, string, string | undefined]>([
    [
      'github',
      { 'x-github-delivery': 'd-1', 'x-github-event': 'issues' },
      { action: 'opened' },
      'd-1',
      'issues.opened',
    ],
    ['github', { 'x-github-delivery': 'd-1', 'x-github-event': 'push' }, {}, 'd-1', 'push'],
    ['stripe', {}, { id: 'evt_1', type: 'charge.failed' }, 'evt_1', 'charge.failed'],
    ['slack', {}, { event_id: 'Ev1', event: { type: 'message' } }, 'Ev1', 'message'],
    ['zendesk', { 'x-zendesk-webhook-invocation-id': 'z' }, { type: 't' }, 'z', 't'],
    ['standard', { 'webhook-id': 'msg_1' }, { type: 'a.b' }, 'msg_1', 'a.b'],
  ])('by %s (%#)', (provider, headers, payload, deliveryId, eventType) => {
    expect(facts(provider, headers, payload)).toEqual({ deliveryId, eventType });
  });

  it('is the hash of its body when it has no name, or its own header says it', () => {
    const nameless = facts('generic', {}, {});
    expect(nameless.deliveryId).toMatch(/^[0-9a-f]{64}$/);
    expect(facts('generic', { a: 'b' }, {}).deliveryId).toBe(nameless.deliveryId);
    const source = { provider: 'generic', deliveryHeader: 'x-id' } as const;
    expect(inboundFactsOf(source, request({ 'x-id': '7' }), {}).deliveryId).toBe('7');
  });
});

it('answers handshakes', () => {
  const ping = request({ 'x-github-event': 'ping' });
  expect(handshakeOf('github', ping, {})).toEqual({ kind: 'ping' });
  const verification = { type: 'url_verification', challenge: 'c' };
  expect(handshakeOf('slack', request({}), verification)).toEqual({
    kind: 'challenge',
    challenge: 'c',
  });
  expect(handshakeOf('generic', ping, verification)).toBeNull();
});

it('reads 25 MiB of GitHub and 1 MiB of others', () => {
  const mib = 1024 * 1024;
  expect(inboundProviders.map((provider) => inboundBytesMaxOf(provider) / mib)).toEqual([
    25, 1, 1, 1, 1, 1,
  ]);
});

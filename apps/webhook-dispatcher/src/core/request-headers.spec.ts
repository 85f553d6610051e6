import { readFileSync } from 'node:fs';

import { describe, expect, it } from '@jest/globals';
import { signingKeysOf } from '@millrace/egress/core';
import fc from 'fast-check';

import { requestHeaders } from './request-headers.ts';
import { userAgent } from './user-agent.ts';
import { webhookIdOf } from './webhook-id.ts';

const keys = [signingKeysOf('whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=')];
const delivery = { webhookId: 'msg_1', body: Buffer.from('{}'), attemptsMade: 2 };

describe('requestHeaders', () => {
  it('names the delivery, the attempt, its time, its trace and us', () => {
    const traceHeaders = { traceparent: '00-1-2-01' };
    const context = { keys, nowMs: 1_700_000_000_999, traceHeaders, extra: {} };
    expect(requestHeaders(delivery, context)).toEqual({
      'content-type': 'application/json',
      'user-agent': userAgent,
      'webhook-id': 'msg_1',
      'webhook-timestamp': '1700000000',
      'webhook-signature': expect.stringMatching(/^v1,[A-Za-z0-9+/]{43}=$/),
      'x-webhook-signature': expect.stringMatching(/^[0-9a-f]{64}$/),
      'webhook-attempt': '3',
      traceparent: '00-1-2-01',
    });
  });

  it("takes the receiver's own headers along, and lets them replace none of ours", () => {
    const extra = { 'X-Door': 'west', 'Webhook-ID': 'forged', Traceparent: 'forged' };
    const context = { keys, nowMs: 1_000, traceHeaders: { traceparent: '00-1-2-01' }, extra };
    expect(requestHeaders(delivery, context)).toMatchObject({
      'x-door': 'west',
      'webhook-id': 'msg_1',
      traceparent: '00-1-2-01',
    });
    expect(Object.keys(requestHeaders(delivery, context))).not.toContain('Webhook-ID');
  });

  it("carries the package's version", () => {
    const manifest = JSON.parse(
      readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
    );
    expect(userAgent).toBe(`Millrace-Webhooks/${manifest.version}`);
  });
});

describe('webhookIdOf', () => {
  it('is the same for the same event, and another for another', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (one, other) => {
        expect(webhookIdOf(one)).toMatch(/^msg_[A-Za-z0-9_-]{27}$/);
        expect(webhookIdOf(one) === webhookIdOf(other)).toBe(one === other);
      }),
    );
  });
});

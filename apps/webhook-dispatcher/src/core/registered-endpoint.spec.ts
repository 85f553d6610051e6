import { describe, expect, it } from '@jest/globals';
import { endpointIdSchema, webhookEndpointSubmissionSchema } from '@millrace/contracts';

import {
  changedEndpoint,
  enabledEndpoint,
  pausedEndpoint,
  resumedEndpoint,
  settingsOf,
  viewOf,
  type RegisteredEndpoint,
} from './registered-endpoint.ts';

const now = new Date('2026-11-29T12:00:00.000Z');
const anyUrl = () => null;
const submission = webhookEndpointSubmissionSchema.parse({
  url: 'https://example.com/hook',
  headers: { 'X-Door': 'open sesame' },
  retry_schedule_seconds: [0, 0.5, 60],
});
const endpoint: RegisteredEndpoint = {
  ...settingsOf(submission, anyUrl),
  tenant: 'acme',
  id: endpointIdSchema.parse(`ep_${'0'.repeat(26)}`),
  secrets: [{ secret: 'whsec_1', created_at: null, expires_at: null }],
  status: 'enabled',
  disabledReason: null,
  statusChangedAt: now,
  version: 3,
  createdAt: now,
  changedAt: now,
  health: {
    closed_until: null,
    closed_why: null,
    last_success_at: null,
    failing_since: null,
    failures: 0,
  },
};
const disabled: RegisteredEndpoint = { ...endpoint, status: 'disabled', disabledReason: 'gone' };
const paused: RegisteredEndpoint = { ...endpoint, status: 'paused' };

describe('a registered endpoint', () => {
  it('is shown without its secrets and the values of its headers', () => {
    const view = viewOf(endpoint, now.getTime());
    expect(JSON.stringify(view)).not.toMatch(/whsec_1|sesame/);
    expect(view).toMatchObject({
      headers: { 'X-Door': '[redacted]' },
      timeout_seconds: 15,
      retry_schedule_seconds: [0, 0.5, 60],
      secrets: [{ created_at: now.toISOString(), expires_at: null }],
    });
  });

  it('keeps what a change does not name', () => {
    const changed = changedEndpoint(endpoint, { timeout_seconds: 3 }, anyUrl);
    expect(changed).toEqual({ ...endpoint, timeoutMs: 3_000 });
  });

  it('is given up to null where that means something', () => {
    const limited = { ...endpoint, ratePerSecond: 5 };
    const change = { rate_per_second: null, retry_schedule_seconds: null };
    expect(changedEndpoint(limited, change, anyUrl)).toMatchObject({
      ratePerSecond: null,
      scheduleMs: null,
    });
  });

  it('changes the headers that are named, whatever their letters, and no others', () => {
    const change = { headers: { 'x-door': 'shut', 'X-New': 'n' } };
    const changed = { ...endpoint, ...changedEndpoint(endpoint, change, anyUrl) };
    expect(changed.headers).toEqual({ 'x-door': 'shut', 'X-New': 'n' });
    const less = changedEndpoint(changed, { headers: { 'X-DOOR': null } }, anyUrl);
    expect(less.headers).toEqual({ 'X-New': 'n' });
  });

  it('has no more headers than it may have, however they came', () => {
    const headers = (from: number) =>
      Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`X-${from + i}`, 'v']));
    const ten = { ...endpoint, headers: headers(0) };
    expect(() => changedEndpoint(ten, { headers: headers(100) }, anyUrl)).toThrow(
      /invalid_request/,
    );
  });

  it.each([
    ['the version of before', { version: 2 }, 'changed_meanwhile'],
    ['a header of ours', { headers: { 'Webhook-Id': 'x' } }, 'invalid_request'],
    ['a header as it is shown', { headers: { 'X-Door': '[redacted]' } }, 'invalid_request'],
    ['a URL that is not allowed', { url: 'https://10.0.0.1/' }, 'unsafe_callback_url'],
  ])('refuses %s', (_what, change, code) => {
    const refuse = () => changedEndpoint(endpoint, change, () => 'the address is not allowed');
    expect(refuse).toThrow(expect.objectContaining({ code }));
  });

  it.each([
    ['pause', pausedEndpoint, { enabled: 'paused', paused: null, disabled: 'not_enabled' }],
    ['resume', resumedEndpoint, { enabled: null, paused: 'enabled', disabled: 'not_enabled' }],
    ['enable', enabledEndpoint, { enabled: null, paused: 'enabled', disabled: 'enabled' }],
  ])('knows what to do when told to %s', (_what, act, expected) => {
    const became = (known: RegisteredEndpoint) => act(known)?.status ?? null;
    expect(became(endpoint)).toBe(expected.enabled);
    expect(became(paused)).toBe(expected.paused);
    if (expected.disabled === 'not_enabled') {
      expect(() => act(disabled)).toThrow(expect.objectContaining({ code: 'not_enabled' }));
    } else {
      expect(act(disabled)).toMatchObject({ status: 'enabled', disabledReason: null });
    }
  });
});

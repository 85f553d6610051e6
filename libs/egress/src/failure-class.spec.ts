import { describe, expect, it } from '@jest/globals';

import { BlockedAddressError } from './blocked-address-error.ts';
import { blockedBehind, failureClassOf } from './failure-class.ts';

function coded(code: string, cause?: unknown): Error {
  return Object.assign(new Error('the text is never read', { cause }), { code });
}

describe('failureClassOf', () => {
  it.each([
    ['ENOTFOUND', 'dns'],
    ['EAI_AGAIN', 'dns'],
    ['ECONNREFUSED', 'refused'],
    ['EHOSTUNREACH', 'unreachable'],
    ['ECONNRESET', 'reset'],
    ['UND_ERR_SOCKET', 'reset'],
    ['UND_ERR_CONNECT_TIMEOUT', 'timeout'],
    ['CERT_HAS_EXPIRED', 'tls'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'tls'],
    ['ERR_SSL_WRONG_VERSION_NUMBER', 'tls'],
    ['HPE_INVALID_CONSTANT', 'protocol'],
    ['EGRESS_PROXY', 'proxy'],
    ['EMFILE', 'local'],
    ['ESOMETHING', 'other'],
  ])('takes %s for %s', (code, expected) => {
    expect(failureClassOf(coded(code))).toBe(expected);
  });

  it('looks behind a wrapper, and into each attempt of several addresses', () => {
    expect(failureClassOf(new TypeError('x', { cause: coded('ENOTFOUND') }))).toBe('dns');
    expect(failureClassOf(new AggregateError([coded('ECONNREFUSED')]))).toBe('refused');
    expect(failureClassOf('not even an error')).toBe('other');
  });

  it('takes what a proxy met for the proxy’s', () => {
    expect(failureClassOf(coded('EGRESS_PROXY', coded('ECONNREFUSED')))).toBe('proxy');
  });

  it('finds our own refusal', () => {
    const refusal = new BlockedAddressError('private');
    expect(blockedBehind(new Error('x', { cause: refusal }))).toBe(refusal);
    expect(blockedBehind(coded('ECONNRESET'))).toBeNull();
  });
});

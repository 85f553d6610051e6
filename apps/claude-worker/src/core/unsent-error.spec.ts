import { describe, expect, it } from '@jest/globals';

import { isBeforeSend } from './unsent-error.ts';

function failed(code: string, syscall?: string): Error {
  return Object.assign(new Error(code), { code, ...(syscall === undefined ? {} : { syscall }) });
}

describe('an error of a connection', () => {
  it.each(['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'ETIMEDOUT', 'EMFILE'])(
    'came before the request when connecting failed with %s, else after it',
    (code) => {
      expect(isBeforeSend(failed(code, 'connect'))).toBe(true);
      expect(isBeforeSend(failed(code, 'read'))).toBe(false);
      expect(isBeforeSend(failed(code))).toBe(false);
    },
  );

  it('came before it when no name, no time or no certificate let it connect', () => {
    expect(isBeforeSend(failed('ENOTFOUND', 'getaddrinfo'))).toBe(true);
    expect(isBeforeSend(failed('UND_ERR_CONNECT_TIMEOUT'))).toBe(true);
    expect(isBeforeSend(failed('CERT_HAS_EXPIRED'))).toBe(true);
  });

  it('came before it when every address was refused', () => {
    const refused = failed('ECONNREFUSED', 'connect');
    expect(isBeforeSend(new AggregateError([refused, refused]))).toBe(true);
    expect(isBeforeSend(new AggregateError([refused, failed('ETIMEDOUT', 'read')]))).toBe(false);
  });

  it('says nothing when it is none', () => {
    expect(isBeforeSend('ECONNREFUSED')).toBe(false);
  });
});

import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import type { ClaudeError } from './claude-answer.ts';
import { classifyAnswer, classifyError } from './classify.ts';

function error(fields: Partial<ClaudeError>): ClaudeError {
  return {
    httpStatus: 400,
    type: null,
    errorCode: null,
    retryAfterMs: null,
    detail: 'anything',
    ...fields,
  };
}

describe('an error of the API', () => {
  it.each([
    [400, 'invalid_request_error', null, 'fail'],
    [403, 'permission_error', null, 'fail'],
    [404, 'not_found_error', null, 'fail'],
    [413, 'request_too_large', null, 'fail'],
    [422, null, null, 'fail'],
    [418, null, null, 'fail'],
    [302, null, null, 'fail'],
    [402, 'billing_error', 'linked_organization_spend_limit_reached', 'fail'],
    [402, 'billing_error', 'linked_organization_billing_unavailable', 'fail'],
    [401, 'authentication_error', null, 'park'],
    [402, 'billing_error', null, 'park'],
    [400, 'billing_error', null, 'park'],
    [400, 'invalid_request_error', 'organization_on_hold', 'park'],
    [429, 'rate_limit_error', 'enforced_spend_limit_reached', 'park'],
    [429, 'rate_limit_error', 'contract_spend_limit_reached', 'park'],
    [429, 'rate_limit_error', null, 'gate'],
    [429, 'rate_limit_error', 'ramp_limit_exceeded', 'gate'],
    [429, 'rate_limit_error', 'a_code_that_is_new', 'gate'],
    [408, 'timeout_error', null, 'retry'],
    [409, 'conflict_error', null, 'retry'],
    [500, 'api_error', null, 'retry'],
    [502, null, null, 'retry'],
    [503, null, null, 'retry'],
    [504, 'timeout_error', null, 'retry'],
    [529, 'overloaded_error', null, 'retry'],
    [null, 'overloaded_error', null, 'retry'],
    [null, 'invalid_request_error', null, 'retry'],
  ])('%p %p with the code %p: %s', (httpStatus, type, errorCode, action) => {
    expect(classifyError(error({ httpStatus, type, errorCode })).action).toBe(action);
  });

  it('speaks against the server only when it is the server’s', () => {
    const unhealthy = (httpStatus: number | null) => {
      const verdict = classifyError(error({ httpStatus }));
      return verdict.action === 'retry' && verdict.unhealthy;
    };
    expect([408, 409].map(unhealthy)).toEqual([false, false]);
    expect([500, 529, null].map(unhealthy)).toEqual([true, true, true]);
  });

  it('keeps what retry-after says', () => {
    expect(classifyError(error({ httpStatus: 429, retryAfterMs: 7_000 }))).toEqual({
      action: 'gate',
      retryAfterMs: 7_000,
    });
    expect(classifyError(error({ httpStatus: 529, retryAfterMs: 7_000 }))).toMatchObject({
      retryAfterMs: 7_000,
    });
  });

  it('never depends on the message', () => {
    fc.assert(
      fc.property(fc.integer({ min: 300, max: 599 }), fc.string(), (httpStatus, detail) => {
        const plain = classifyError(error({ httpStatus }));
        expect(classifyError(error({ httpStatus, detail }))).toEqual(plain);
      }),
    );
  });
});

describe('an answer that is none', () => {
  const source = { httpStatus: 200, requestId: null, standIn: false };

  it('is retried when it was cut off or the server is away', () => {
    expect(classifyAnswer({ kind: 'cut', reason: 'connection_lost', source })).toMatchObject({
      action: 'retry',
      unhealthy: true,
    });
    expect(classifyAnswer({ kind: 'unreachable', code: 'ECONNREFUSED' })).toMatchObject({
      action: 'retry',
    });
  });

  it('has no verdict when we ended it', () => {
    expect(classifyAnswer({ kind: 'interrupted', by: 'stop' })).toBeNull();
  });
});

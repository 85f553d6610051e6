import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { decodeCursor, encodeCursor, listQuerySchema } from './list-cursor.ts';

describe('a cursor', () => {
  it('reads back as it was', () => {
    fc.assert(
      fc.property(fc.nat(), fc.string({ minLength: 1, maxLength: 128 }), (createdAtMs, id) => {
        expect(decodeCursor(encodeCursor({ createdAtMs, id }))).toEqual({ createdAtMs, id });
      }),
    );
  });

  it('of anyone’s making is read or refused, never thrown at', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        decodeCursor(text);
        decodeCursor(Buffer.from(text).toString('base64url'));
      }),
    );
    const late = Buffer.from('[9e15,"a"]').toString('base64url');
    expect(decodeCursor(late)).toBeNull();
  });
});

describe('the query of a list', () => {
  it.each([
    [{}, true],
    [{ limit: '100', status: 'queued', type: 'agent', session_id: 's' }, true],
    [{ limit: '0' }, false],
    [{ limit: '101' }, false],
    [{ limit: '1e1' }, false],
    [{ cursor: 'x' }, false],
    [{ status: 'done' }, false],
    [{ page: '1' }, false],
  ])('%j is good: %j', (query, good) => {
    expect(listQuerySchema.safeParse(query).success).toBe(good);
  });
});

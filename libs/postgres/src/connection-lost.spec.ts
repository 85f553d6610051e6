import { describe, expect, it } from '@jest/globals';
import pg from 'pg';

import { isConnectionLost } from './connection-lost.ts';

function answered(sqlState: string): Error {
  const error = new pg.DatabaseError('told by the server', 1, 'error');
  error.code = sqlState;
  return error;
}

describe('isConnectionLost', () => {
  it.each([
    ['a refused connection', Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }), true],
    ['a reset one', Object.assign(new Error('read'), { code: 'ECONNRESET' }), true],
    ['an end by the server', new Error('Connection terminated unexpectedly'), true],
    ['a pool that got no connection', new Error('timeout exceeded when trying to connect'), true],
    ['an answer that never came', new Error('Query read timeout'), true],
    ['all addresses refused', new AggregateError([new Error('Connection terminated')]), true],
    ['a shutdown', answered('57P01'), true],
    ['a start', answered('57P03'), true],
    ['too many connections', answered('53300'), true],
    ['a full disk', answered('53100'), true],
    ['a connection exception', answered('08006'), true],
    ['a unique violation', answered('23505'), false],
    ['a missing table', answered('42P01'), false],
    ['a bug', new TypeError('undefined is not a function'), false],
    ['a missing file', Object.assign(new Error('open'), { code: 'EACCES' }), false],
    ['no error at all', 'ECONNREFUSED', false],
  ])('%s', (_what, error, lost) => {
    expect(isConnectionLost(error)).toBe(lost);
  });
});

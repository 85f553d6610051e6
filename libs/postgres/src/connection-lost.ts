import { types } from 'node:util';

import pg from 'pg';

/** Socket errors of Node. */
const socketCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT',
]);

/** The server ends or refuses connections: shutting down, crashed, starting, full. */
const serverCodes = new Set(['57P01', '57P02', '57P03', '57P05', '25P03', '25P04']);
/** Connection exceptions and insufficient resources (disk full, too many connections). */
const serverClasses = new Set(['08', '53', '58']);

/**
 * What `pg` and `pg-pool` throw as plain errors: they carry no code, so their text is the only
 * thing that tells them from a bug. Exact sentences, in this one place.
 */
const driverSentences = new Set([
  'Connection terminated',
  'Connection terminated unexpectedly',
  'Connection terminated due to connection timeout',
  'timeout expired',
  'timeout exceeded when trying to connect',
  'Query read timeout',
  'Client has encountered a connection error and is not queryable',
  'Client was closed and is not queryable',
]);

/** Whether the error says that Postgres cannot be reached or serve now: wait, then try again. */
export function isConnectionLost(error: unknown): boolean {
  if (!types.isNativeError(error)) return false;
  const state = sqlStateOf(error);
  if (state !== null) return serverCodes.has(state) || serverClasses.has(state.slice(0, 2));
  if ('code' in error && typeof error.code === 'string') return socketCodes.has(error.code);
  // Several addresses were tried (localhost is two) and all failed.
  if ('errors' in error && Array.isArray(error.errors)) return error.errors.some(isConnectionLost);
  return driverSentences.has(error.message);
}

/** The SQLSTATE that the server answered with; null when it is no answer of the server. */
export function sqlStateOf(error: unknown): string | null {
  return error instanceof pg.DatabaseError ? (error.code ?? null) : null;
}

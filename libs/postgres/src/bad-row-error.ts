import { sqlStateOf } from './connection-lost.ts';
import { classifyCommitFailure } from './core/commit-failure.ts';

/**
 * Postgres refuses this one row whatever its company (SQLSTATE class 22, 23 or 54): it is for a
 * dead letter, and trying it again is of no use.
 */
export class BadRowError extends Error {
  override readonly name = 'BadRowError';
  readonly sqlState: string;

  constructor(sqlState: string, cause: unknown) {
    super(`the database refused this row (${sqlState})`, { cause });
    this.sqlState = sqlState;
  }
}

/** Whether Postgres refused the rows of a statement themselves: it would refuse them again. */
export function isBadRow(error: unknown): boolean {
  return classifyCommitFailure(sqlStateOf(error)).kind === 'bad-row';
}

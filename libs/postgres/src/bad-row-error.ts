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

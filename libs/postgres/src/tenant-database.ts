import type { Pool, QueryConfig, QueryResult, QueryResultRow } from 'pg';

import { withClient } from './pool.ts';

const tenantQuery = (tenant: string): QueryConfig => ({
  name: 'set_tenant',
  text: `SELECT set_config('app.tenant', $1, true)`,
  values: [tenant],
});

/**
 * Statements under a service's `_api` role, each for one tenant: row level security shows it that
 * tenant's rows and no others.
 *
 * The tenant is set for the one transaction only, so a connection that is lent again knows none.
 * The pool must be made with `pipeline`: BEGIN, setting, statements and COMMIT are sent without
 * waiting for each other, so all of it costs one round trip.
 */
export class TenantDatabase {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  /** @throws what the statement throws; then nothing of it was done. */
  async query<R extends QueryResultRow>(
    tenant: string,
    statement: QueryConfig,
  ): Promise<QueryResult<R>> {
    const results = await this.#run<R>(tenant, [statement]);
    const [result] = results;
    if (result === undefined) throw new TypeError('a statement without a result');
    return result;
  }

  /** The same for several, of which the last one answers: the first may take a lock. */
  async queryLast<R extends QueryResultRow>(
    tenant: string,
    statements: readonly QueryConfig[],
  ): Promise<QueryResult<R>> {
    const result = (await this.#run<R>(tenant, statements)).at(-1);
    if (result === undefined) throw new TypeError('no statements');
    return result;
  }

  async #run<R extends QueryResultRow>(
    tenant: string,
    statements: readonly QueryConfig[],
  ): Promise<QueryResult<R>[]> {
    return withClient(this.#pool, async (client) => {
      const opened = [client.query('BEGIN'), client.query(tenantQuery(tenant))];
      const answers = statements.map((statement) => client.query<R>(statement));
      // After a failure this rolls back: Postgres does what it can still do.
      const closed = client.query('COMMIT');
      // All have ended before the connection goes back; the first that failed is the one to tell.
      const outcomes = await Promise.allSettled([...opened, ...answers, closed]);
      const failed = outcomes.find((outcome) => outcome.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
      return Promise.all(answers);
    });
  }
}

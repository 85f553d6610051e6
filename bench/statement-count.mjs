/** Statements that a service has sent to Postgres, as Postgres itself counts them. */
import pg from 'pg';

/** What a stack needs for it. */
export const countingSettings = {
  shared_preload_libraries: 'pg_stat_statements',
  'pg_stat_statements.track_utility': 'on',
};

const countSql = `
  SELECT coalesce(sum(s.calls), 0)::float8 AS calls
  FROM pg_stat_statements AS s JOIN pg_roles AS r ON r.oid = s.userid
  WHERE r.rolname = $1`;

/**
 * @param {{ postgresUrl: string }} stack
 * @param {string} role the one that the service works by
 */
export async function countStatements({ postgresUrl }, role) {
  const client = new pg.Client({ connectionString: postgresUrl });
  await client.connect();
  await client.query('CREATE EXTENSION IF NOT EXISTS pg_stat_statements');
  return {
    client,
    /** @returns {Promise<number>} begun and ended transactions are statements, too */
    async soFar() {
      const { rows } = await client.query(countSql, [role]);
      return rows[0].calls;
    },
    stop: () => client.end(),
  };
}

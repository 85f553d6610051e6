/** A database as it is after a month: what statements cost depends on how many days there are. */
import pg from 'pg';

/** Days for which everything is kept: see `millrace_keep_days`. */
const daysKept = 30;

const dailyTablesSql = `
  SELECT schema_name, table_name FROM millrace.daily_tables
  WHERE partitioned ORDER BY schema_name, table_name`;

const makeDaySql = `
  SELECT millrace_make_day($1, $2, (now() AT TIME ZONE 'UTC')::date - back)
  FROM generate_series(1, $3::int) AS back`;

/** @param {{ postgresUrl: string }} stack */
export async function makeOldDays({ postgresUrl }) {
  const client = new pg.Client({ connectionString: postgresUrl });
  await client.connect();
  try {
    const { rows } = await client.query(dailyTablesSql);
    for (const { schema_name, table_name } of rows) {
      await client.query(makeDaySql, [schema_name, table_name, daysKept]);
    }
  } finally {
    await client.end();
  }
}

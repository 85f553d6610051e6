/** From an empty cluster to a database that the services can use. */
import pg from 'pg';

import { migrationsFolder } from '../paths.mjs';
import { databaseUrl } from './environment.mjs';

/**
 * @param {object} options
 * @param {import('./ports.mjs').Ports} options.ports
 * @param {string} options.superuserPassword
 * @param {Record<string, string>} options.rolePasswords
 * @returns {Promise<string>} the superuser's URL of the database
 */
export async function prepareDatabase({ ports, superuserPassword, rolePasswords }) {
  const url = databaseUrl({ role: 'postgres', password: superuserPassword, ports });
  await withClient(url.replace(/millrace$/, 'postgres'), async (client) => {
    const { rowCount } = await client.query("SELECT 1 FROM pg_database WHERE datname = 'millrace'");
    if (rowCount === 0) await client.query('CREATE DATABASE millrace');
  });
  const { migrate } = await import('@millrace/postgres');
  await migrate({ databaseUrl: url, directory: migrationsFolder });
  await withClient(url, async (client) => {
    for (const [role, password] of Object.entries(rolePasswords)) {
      const { rows } = await client.query(
        "SELECT format('ALTER ROLE %I LOGIN PASSWORD %L', $1::text, $2::text) AS statement",
        [role, password],
      );
      await client.query(rows[0].statement);
    }
  });
  return url;
}

/**
 * @param {string} connectionString
 * @param {(client: pg.Client) => Promise<void>} work
 */
async function withClient(connectionString, work) {
  const client = new pg.Client({ connectionString, application_name: 'millrace-stack' });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

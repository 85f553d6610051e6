import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { migrate } from '@millrace/postgres';
import pg from 'pg';

const migrationsDirectory = join(import.meta.dirname, '../../../deploy/migrations');
/** Any number does, as long as every spec's process takes the same one. */
const creationLock = 7_100_001;
const leavesWithinMs = 1_000;
const roles = [
  'ingest',
  'claude_worker',
  'agent_orchestrator',
  'tool_runner',
  'webhook_dispatcher',
  'ingest_api',
  'claude_worker_api',
  'agent_orchestrator_api',
  'tool_runner_api',
  'webhook_dispatcher_api',
] as const;
export type DatabaseRole = (typeof roles)[number];

export interface TestDatabase {
  /** The URL of a service's role; without one, of the superuser. */
  url(role?: DatabaseRole): string;
  readonly adminUrl: string;
  /** Ends whatever is still connected. */
  drop(): Promise<void>;
}

/** A fresh, migrated database in the scratch cluster of `MILLRACE_TEST_POSTGRES`. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const clusterUrl = scratchClusterUrl();
  const name = `test_${randomBytes(8).toString('hex')}`;
  const password = 'for-specs-only';
  const url = (role?: DatabaseRole): string => {
    const database = new URL(clusterUrl);
    database.pathname = `/${name}`;
    if (role !== undefined) {
      database.username = role;
      database.password = password;
    }
    return database.href;
  };
  // The roles are the cluster's: two specs that create and alter them at once would collide.
  await withLockedCluster(clusterUrl, async (cluster) => {
    await cluster.query(`CREATE DATABASE ${name} TEMPLATE template0`);
    await migrate({ databaseUrl: url(), directory: migrationsDirectory });
    await withCluster(url(), (migrated) => makeOldDay(migrated));
    for (const role of roles) {
      const { rowCount } = await cluster.query(
        'SELECT FROM pg_authid WHERE rolname = $1 AND rolpassword IS NOT NULL',
        [role],
      );
      if (rowCount === 0) await cluster.query(`ALTER ROLE ${role} PASSWORD '${password}'`);
    }
  });
  return {
    url,
    adminUrl: url(),
    drop: () =>
      withCluster(clusterUrl, async (cluster) => {
        await untilLeft(cluster, name);
        await cluster.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
      }),
  };
}

/** How old the first day of a test's database is. */
export const testDaysOld = 3;

/**
 * The first day is not today's, as after a week: a plan that leaves out a table's first partition
 * is numbered in another way, which PostgreSQL once got wrong (`sameDay`).
 */
async function makeOldDay(database: pg.Client): Promise<void> {
  await database.query(
    `SELECT millrace_make_day(schema_name, table_name, (now() AT TIME ZONE 'UTC')::date - $1::int)
     FROM millrace.daily_tables WHERE partitioned`,
    [testDaysOld],
  );
}

function scratchClusterUrl(): string {
  const url = process.env['MILLRACE_TEST_POSTGRES'];
  if (url === undefined || url === '') {
    throw new Error(
      'MILLRACE_TEST_POSTGRES is not set: run the spec under `node tools/scratch.mjs -- <command>`',
    );
  }
  return url;
}

function withLockedCluster(url: string, work: (cluster: pg.Client) => Promise<void>) {
  return withCluster(url, async (cluster) => {
    await cluster.query('SELECT pg_advisory_lock($1)', [creationLock]);
    await work(cluster);
  });
}

/**
 * A pool says that it has ended while its connections still do: ended by force meanwhile, they
 * would fail with nobody to hear it. What a spec leaves connected is not waited for long.
 */
async function untilLeft(cluster: pg.Client, name: string): Promise<void> {
  const connected = `SELECT FROM pg_stat_activity
    WHERE datname = $1 AND backend_type = 'client backend' LIMIT 1`;
  const endsAtMs = performance.now() + leavesWithinMs;
  while (performance.now() < endsAtMs) {
    if ((await cluster.query(connected, [name])).rowCount === 0) return;
    await sleep(5);
  }
}

async function withCluster(
  url: string,
  work: (cluster: pg.Client) => Promise<void>,
): Promise<void> {
  const cluster = new pg.Client({ connectionString: url });
  cluster.on('error', () => undefined);
  await cluster.connect();
  try {
    await work(cluster);
  } finally {
    await cluster.end();
  }
}

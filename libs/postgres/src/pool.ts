import pg from 'pg';
import type { Pool, PoolClient } from 'pg';

import { isConnectionLost } from './connection-lost.ts';

/** A server that does not answer within this is down for the caller, who waits and tries again. */
const connectMsMax = 5_000;
/** The longest statement is a full batch, some 50 ms; one that takes this long hangs on a lock. */
const statementMsMax = 15_000;
/** Our side's own limit, for a server that has vanished without closing the connection. */
const queryMsMax = 20_000;
/** A transaction that idles this long belongs to a process that hangs; its locks must go. */
const idleInTransactionMsMax = 60_000;
/** Connections that nobody used for this long are given back to the server. */
const idleConnectionMsMax = 60_000;

/**
 * Named statements keep their plans: planning costs more than running a small batch. A plan that
 * was made while a table, or the day's partition, was small would read all of it until the next
 * ANALYZE. Every row is found by an index here, so the planner is told to take one, and that an
 * entry of an index costs as much as a page: by itself it reads a day's whole index for the days
 * alone, since of a range that it does not know it expects half a hundredth of what is there.
 *
 * Left to itself it would plan some anew each time, since with the days at hand it sees that it
 * can leave out partitions: 3 ms for a claim that then runs for 0.06 ms. A kept plan leaves them
 * out when it starts, but its costs count all days: with a month of them a statement of 0.5 ms
 * would be given to three processes, which takes 25 ms, or be compiled.
 */
const plannerSettings = [
  'enable_seqscan=off',
  'cpu_index_tuple_cost=1',
  'plan_cache_mode=force_generic_plan',
  'max_parallel_workers_per_gather=0',
  'jit=off',
];

/**
 * What statements count on, whatever the database or the role has for a default: a day as text is
 * `YYYY-MM-DD`, and a row that changed meanwhile is looked at again, not refused.
 */
const assumedSettings = [
  'DateStyle=ISO',
  'TimeZone=UTC',
  String.raw`default_transaction_isolation=read\ committed`,
];

export interface PoolOptions {
  readonly url: string;
  /** Connections at most. */
  readonly max: number;
  /** Shown in `pg_stat_activity`. */
  readonly applicationName: string;
  /** Statements are sent without waiting for the one before: `TenantDatabase` needs it. */
  readonly pipeline?: boolean;
}

/**
 * Connections to one database under one role. A connection that breaks is replaced and never
 * ends the process; whoever was using it gets the error.
 */
export function createPool(options: PoolOptions): Pool {
  const pool = new pg.Pool({
    connectionString: options.url,
    max: options.max,
    application_name: options.applicationName,
    keepAlive: true,
    options: [...plannerSettings, ...assumedSettings].map((setting) => `-c ${setting}`).join(' '),
    pipeline: options.pipeline ?? false,
    connectionTimeoutMillis: connectMsMax,
    idleTimeoutMillis: idleConnectionMsMax,
    statement_timeout: statementMsMax,
    query_timeout: queryMsMax,
    idle_in_transaction_session_timeout: idleInTransactionMsMax,
  });
  // Both listeners are needed: the pool's hears idle connections, the client's those in use. The
  // failing query rejects with the same error, so there is nothing more to tell here.
  pool.on('error', () => undefined);
  pool.on('connect', (client) => client.on('error', () => undefined));
  return pool;
}

/**
 * Lends a connection to `work`. One that broke meanwhile is closed, not given back.
 * @throws what `work` throws, or that there is no connection.
 */
export async function withClient<T>(
  pool: Pool,
  work: (client: PoolClient) => Promise<T>,
): Promise<T> {
  const client = await pool.connect();
  let broken = false;
  try {
    return await work(client);
  } catch (error) {
    broken = isConnectionLost(error);
    throw error;
  } finally {
    client.release(broken);
  }
}

/**
 * Runs `work` between BEGIN and COMMIT; rolls back when it throws. When the connection breaks
 * during COMMIT the outcome is unknown, so `work` must be idempotent by its keys.
 */
export function inTransaction<T>(
  pool: Pool,
  work: (client: PoolClient) => Promise<T>,
): Promise<T> {
  return withClient(pool, (client) => transact(client, () => work(client)));
}

/** The same on a connection that the caller holds, and closes when it is lost (`withClient`). */
export async function transact<T>(client: PoolClient, work: () => Promise<T>): Promise<T> {
  await client.query('BEGIN');
  try {
    const result = await work();
    await client.query('COMMIT');
    return result;
  } catch (error) {
    // What is lost is closed, and rolls back by that: a server that is silent would let this
    // statement wait for its limit, too, and the locks as long. The first error is the one to tell.
    if (!isConnectionLost(error)) await client.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

/** The database's clock: leases, deadlines and expiries of all processes are told by it. */
export async function databaseNow(pool: Pool): Promise<Date> {
  const { rows } = await pool.query<{ now: Date }>('SELECT clock_timestamp() AS now');
  const row = rows[0];
  if (row === undefined) throw new TypeError('SELECT without a row');
  return row.now;
}

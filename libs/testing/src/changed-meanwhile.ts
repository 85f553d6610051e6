import pg from 'pg';

export interface ChangedMeanwhile<T> {
  /** A superuser's URL. */
  readonly url: string;
  /** What another transaction does to the rows first. */
  readonly change: string;
  /** Begun beside it; it waits for one of its rows. */
  readonly work: () => Promise<T>;
}

/**
 * Does `work` so that a row which it waits for has changed since it was first seen.
 * @returns what `work` does, after `change` is committed.
 */
export async function changedMeanwhile<T>({ change, url, work }: ChangedMeanwhile<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    await client.query('BEGIN');
    await client.query(change);
    const working = work();
    // Not by pg_stat_activity, which stays as it is during a transaction.
    const waiting = 'SELECT FROM pg_locks WHERE NOT granted AND $1 = ANY(pg_blocking_pids(pid))';
    let isOver = false;
    const over = (): boolean => (isOver = true);
    working.then(over, over);
    while ((await client.query(waiting, [rows[0]?.pid])).rowCount === 0) {
      if (isOver) throw new Error('it waited for nothing');
    }
    await client.query('COMMIT');
    return await working;
  } finally {
    await client.end();
  }
}

import { inTransaction } from '@millrace/postgres';
import type { Pool } from '@millrace/postgres';

/**
 * How long the row of a dead process outlives its lease. A claim or an insert that the process
 * had sent may still commit after its rows were reaped; no statement or transaction lives longer
 * than this, and until then the process is reaped again and again.
 */
const deadProcessKeptMs = 120_000;

export interface Reaped {
  readonly processes: readonly string[];
  readonly rows: number;
}

/**
 * The table `<schema>.processes`: one row for each process that holds work, alive until
 * `lease_until` of the database's clock.
 *
 * P1 A lease that is over is never renewed, and only one that is over is reaped. The reaper
 *    rewrites the row it locks, so that a renewal that waited for the lock looks again.
 * P2 The rows of a process are reaped before its own row is deleted, in one transaction with it.
 */
export class Processes {
  readonly #pool: Pool;
  readonly #schema: string;

  constructor(pool: Pool, schema: string) {
    this.#pool = pool;
    this.#schema = schema;
  }

  async register(id: string, leaseMs: number): Promise<void> {
    await this.#pool.query(
      `INSERT INTO ${this.#schema}.processes (id, lease_until)
       VALUES ($1, clock_timestamp() + $2::int * interval '1 ms')`,
      [id, leaseMs],
    );
  }

  /** @returns whether the lease was still held, and is for another `leaseMs` (P1). */
  async renew(id: string, leaseMs: number): Promise<boolean> {
    const { rowCount } = await this.#pool.query({
      name: `${this.#schema}_process_renew`,
      text: `UPDATE ${this.#schema}.processes
        SET lease_until = clock_timestamp() + $2::int * interval '1 ms'
        WHERE id = $1 AND lease_until > clock_timestamp()`,
      values: [id, leaseMs],
    });
    return rowCount === 1;
  }

  /** Gives the lease up: whatever is still held is reaped as that of a dead process. */
  async expire(id: string): Promise<void> {
    await this.#pool.query(
      `UPDATE ${this.#schema}.processes
       SET lease_until = least(lease_until, clock_timestamp()) WHERE id = $1`,
      [id],
    );
  }

  /** Hands processes whose lease is over to `reap`, unless another reaper is at them (P2). */
  reapDead(reap: (ids: string[]) => Promise<number>): Promise<Reaped> {
    return inTransaction(this.#pool, async (client) => {
      const { rows: dead } = await client.query<{ id: string }>({
        name: `${this.#schema}_processes_dead`,
        text: `UPDATE ${this.#schema}.processes SET lease_until = lease_until
          WHERE id IN (
            SELECT id FROM ${this.#schema}.processes WHERE lease_until <= clock_timestamp()
            ORDER BY id FOR UPDATE SKIP LOCKED
          ) RETURNING id`,
        values: [],
      });
      if (dead.length === 0) return { processes: [], rows: 0 };
      const processes = dead.map(({ id }) => id);
      const rows = await reap(processes);
      await client.query(
        `DELETE FROM ${this.#schema}.processes WHERE id = ANY($1::text[])
         AND lease_until < clock_timestamp() - $2::int * interval '1 ms'`,
        [processes, deadProcessKeptMs],
      );
      return { processes, rows };
    });
  }
}

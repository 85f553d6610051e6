import type { Pool } from '@millrace/postgres';

/** Ends the pool when nothing uses it any more. */
export class PoolClosing {
  constructor(private readonly pool: Pool) {}

  async close(): Promise<void> {
    await this.pool.end();
  }
}

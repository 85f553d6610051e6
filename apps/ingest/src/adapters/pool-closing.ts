import type { Pool } from '@millrace/postgres';

/** Ends the pools when nothing uses them any more. */
export class PoolClosing {
  constructor(private readonly pools: readonly Pool[]) {}

  async close(): Promise<void> {
    await Promise.all(this.pools.map((pool) => pool.end()));
  }
}

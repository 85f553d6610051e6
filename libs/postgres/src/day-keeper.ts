import type { Pool } from 'pg';

/** Partitions are made two days ahead, so that an hour in which it fails costs nothing. */
const everyMs = 3_600_000;

export interface DayKeeperOptions {
  readonly pool: Pool;
  readonly schema: 'ingest' | 'worker' | 'orchestrator' | 'tools' | 'dispatcher';
  /** Deletes some of what else goes by its age. @returns whether there may be more. */
  readonly forget?: () => Promise<boolean>;
  /** Told when old days went. */
  readonly onDropped: (dropped: { readonly table: string; readonly days: number }) => void;
  /** Told of what failed; it is tried again after an hour. */
  readonly onError: (error: unknown) => void;
}

interface Kept {
  readonly made: number;
  readonly dropped: number;
}

/**
 * Keeps a schema's daily partitions, at the start and then every hour: makes those of the days to
 * come, and drops those of which nothing has ended in the last 30 days. The database decides by its
 * own clock, and lets one process at a time do it. What else goes by its age is deleted after that.
 */
export class DayKeeper {
  readonly #options: DayKeeperOptions;
  #timer: NodeJS.Timeout | undefined;
  #keeping: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: DayKeeperOptions) {
    this.#options = options;
  }

  start(): void {
    this.#keeping = this.keep().then(() => {
      if (this.#stopped) return;
      this.#timer = setTimeout(() => this.start(), everyMs);
      this.#timer.unref();
    });
  }

  /** Waits for what is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#keeping;
  }

  /** Never throws. A table that fails does not keep the others from being kept. */
  async keep(): Promise<void> {
    for (const table of await this.#tables()) {
      if (this.#stopped) return;
      await this.#keepTable(table);
    }
    await this.#forget();
  }

  async #forget(): Promise<void> {
    const { forget } = this.#options;
    try {
      let more = forget !== undefined;
      while (more && !this.#stopped) more = (await forget?.()) ?? false;
    } catch (error) {
      this.#failed(error);
    }
  }

  async #tables(): Promise<string[]> {
    try {
      const { rows } = await this.#options.pool.query<{ name: string }>(
        'SELECT name FROM public.millrace_daily_tables($1) AS name',
        [this.#options.schema],
      );
      return rows.map(({ name }) => name);
    } catch (error) {
      this.#failed(error);
      return [];
    }
  }

  async #keepTable(table: string): Promise<void> {
    const { pool, schema, onDropped } = this.#options;
    try {
      const { rows } = await pool.query<Kept>(
        'SELECT made, dropped FROM public.millrace_keep_days($1, $2)',
        [schema, table],
      );
      const days = rows[0]?.dropped ?? 0;
      if (days > 0) onDropped({ table, days });
    } catch (error) {
      this.#failed(error);
    }
  }

  /** At a stop the pool may end under it. */
  #failed(error: unknown): void {
    if (!this.#stopped) this.#options.onError(error);
  }
}

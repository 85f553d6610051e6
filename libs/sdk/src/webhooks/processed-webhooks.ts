/**
 * Delivery is at least once: a receiver that acts twice on one event has to know that it has seen
 * it. The key is the `webhook-id`, which stays the same in every attempt, replay and redelivery.
 */

/**
 * `claimed`: it is yours to process. `processed`: it was, whole. `busy`: somebody is at it, or died
 * at it less than `claimMs` ago.
 */
export type WebhookClaim = 'claimed' | 'processed' | 'busy';

/** Where it is kept which webhooks were processed: shared by all processes that receive them. */
export interface ProcessedWebhooks {
  /** One caller at a time gets `claimed` for an id. */
  claim(id: string): Promise<WebhookClaim>;
  /** It was processed: every later copy is one too many. */
  settle(id: string): Promise<void>;
  /** It was not, and may be claimed again at once. */
  release(id: string): Promise<void>;
}

export type ProcessedOnce<Result> =
  | { readonly status: 'processed'; readonly result: Result }
  | { readonly status: 'already_processed' }
  | { readonly status: 'in_progress' };

/**
 * Runs `handler` unless a webhook of this id was processed before. What it throws is thrown on, and
 * the id is free again: answer with an error and it comes again.
 *
 * A process that dies in `handler` leaves a claim; when that is over the handler runs once more. To
 * act exactly once, write the id in the same transaction as what you do.
 */
export async function processOnce<Result>(
  processed: ProcessedWebhooks,
  id: string,
  handler: () => Promise<Result> | Result,
): Promise<ProcessedOnce<Result>> {
  const claim = await processed.claim(id);
  if (claim === 'processed') return { status: 'already_processed' };
  if (claim === 'busy') return { status: 'in_progress' };
  let result: Result;
  try {
    result = await handler();
  } catch (error) {
    await processed.release(id);
    throw error;
  }
  await processed.settle(id);
  return { status: 'processed', result };
}

/** How long a claim holds: longer than a handler may take, as a receiver has 30 s at most. */
export const claimMsDefault = 60_000;
/** Ids that one process remembers: some megabytes. */
const rememberedMaxDefault = 100_000;
/** Longer than the last retry of the default schedule, and a day's replay. */
const rememberMsDefault = 4 * 86_400_000;

export interface MemoryOptions {
  readonly claimMs?: number;
  readonly rememberedMax?: number;
  readonly rememberMs?: number;
  /** Milliseconds since any moment; the monotonic clock by default. */
  readonly clock?: () => number;
}

interface Remembered {
  readonly state: 'busy' | 'processed';
  readonly untilMs: number;
}

/** For one process, until it ends. Several of them share a table: `PostgresProcessedWebhooks`. */
export class MemoryProcessedWebhooks implements ProcessedWebhooks {
  readonly #ids = new Map<string, Remembered>();
  readonly #options: Required<MemoryOptions>;

  constructor(options: MemoryOptions = {}) {
    this.#options = {
      claimMs: claimMsDefault,
      rememberedMax: rememberedMaxDefault,
      rememberMs: rememberMsDefault,
      clock: () => performance.now(),
      ...options,
    };
  }

  claim(id: string): Promise<WebhookClaim> {
    const known = this.#ids.get(id);
    const { claimMs, clock } = this.#options;
    if (known !== undefined && known.untilMs > clock()) return Promise.resolve(known.state);
    this.#keep(id, 'busy', claimMs);
    return Promise.resolve('claimed');
  }

  settle(id: string): Promise<void> {
    this.#keep(id, 'processed', this.#options.rememberMs);
    return Promise.resolve();
  }

  release(id: string): Promise<void> {
    this.#ids.delete(id);
    return Promise.resolve();
  }

  /** The oldest goes when there are too many: the order of a map is that of its insertions. */
  #keep(id: string, state: Remembered['state'], forMs: number): void {
    this.#ids.delete(id);
    this.#ids.set(id, { state, untilMs: this.#options.clock() + forMs });
    const [oldest] = this.#ids.keys();
    if (this.#ids.size > this.#options.rememberedMax && oldest !== undefined) {
      this.#ids.delete(oldest);
    }
  }
}

/** As much of `pg`'s pool or client as is needed. */
export interface Queryable {
  query(text: string, values: unknown[]): Promise<{ rows: unknown[]; rowCount: number | null }>;
}

/** The table that `PostgresProcessedWebhooks` keeps its ids in. Delete old rows when you like. */
export const processedWebhooksTable = `
  CREATE TABLE IF NOT EXISTS processed_webhooks (
    id           text PRIMARY KEY,
    claimed_at   timestamptz NOT NULL DEFAULT now(),
    processed_at timestamptz
  )`;

const claimSql = `
  INSERT INTO processed_webhooks AS known (id) VALUES ($1)
  ON CONFLICT (id) DO UPDATE SET claimed_at = now()
  WHERE known.processed_at IS NULL AND known.claimed_at < now() - $2 * interval '1 ms'
  RETURNING id`;

/** For any number of processes: a table of yours, made by `processedWebhooksTable`. */
export class PostgresProcessedWebhooks implements ProcessedWebhooks {
  constructor(
    private readonly database: Queryable,
    private readonly claimMs: number = claimMsDefault,
  ) {}

  async claim(id: string): Promise<WebhookClaim> {
    const claimed = await this.database.query(claimSql, [id, this.claimMs]);
    if (claimed.rowCount === 1) return 'claimed';
    const { rowCount } = await this.database.query(
      'SELECT FROM processed_webhooks WHERE id = $1 AND processed_at IS NOT NULL',
      [id],
    );
    return rowCount === 1 ? 'processed' : 'busy';
  }

  async settle(id: string): Promise<void> {
    const text = 'UPDATE processed_webhooks SET processed_at = now() WHERE id = $1';
    await this.database.query(text, [id]);
  }

  async release(id: string): Promise<void> {
    const text = 'DELETE FROM processed_webhooks WHERE id = $1 AND processed_at IS NULL';
    await this.database.query(text, [id]);
  }
}

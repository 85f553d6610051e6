/** Rows of one sweep: what one statement reads, locks and deletes in a few milliseconds. */
export const sweepRowsMax = 200;
/** Bodies of one sweep, in memory twice while they are read; 200 could have 200 MiB. */
export const sweepBytesMax = 16 * 1024 * 1024;
/** How long a row that failed alone waits at first, doubled each time up to one of the next two. */
const asideMsFirst = 2_000;
/** A row that Kafka refused will hardly be taken later. */
const refusedMsMax = 300_000;
/**
 * A row that Kafka could not take is tried soon after an outage. Not at once: where it is but one
 * partition that is away, this lets some fifteen of its rows be passed over by those of others.
 */
const unavailableMsMax = 16_000;
/** Rows put aside that are remembered; beyond it the oldest is forgotten and tried again. */
const asideRowsMax = 1_000;

interface Aside {
  readonly untilMs: number;
  readonly waitMs: number;
}

/**
 * How many rows the next sweep takes and which it passes over. A batch that Kafka refuses may be
 * an outage or one bad message: the next is half as large, until a row that fails alone is put
 * aside for a while, so that it holds up nobody. Only a refusal says something of the row: one that
 * failed in an outage is tried again soon, however long the outage was.
 */
export class SweepPlan {
  #limit = sweepRowsMax;
  readonly #aside = new Map<string, Aside>();

  get limit(): number {
    return this.#limit;
  }

  /** Rows that are not to be tried now. */
  aside(nowMs: number): string[] {
    return [...this.#aside].filter(([, { untilMs }]) => untilMs > nowMs).map(([id]) => id);
  }

  succeeded(ids: readonly string[]): void {
    for (const id of ids) this.#aside.delete(id);
    this.#limit = Math.min(this.#limit * 2, sweepRowsMax);
  }

  failed(ids: readonly string[], o: { readonly nowMs: number; readonly refused: boolean }): void {
    const [only] = ids;
    if (only !== undefined && ids.length === 1) this.#putAside(only, o);
    this.#limit = Math.max(1, Math.floor(ids.length / 2));
  }

  #putAside(id: string, o: { readonly nowMs: number; readonly refused: boolean }): void {
    const last = this.#aside.get(id);
    const waitMsMax = o.refused ? refusedMsMax : unavailableMsMax;
    const waitMs = last === undefined ? asideMsFirst : Math.min(last.waitMs * 2, waitMsMax);
    this.#aside.delete(id);
    this.#aside.set(id, { untilMs: o.nowMs + waitMs, waitMs });
    const [oldest] = this.#aside.keys();
    if (this.#aside.size > asideRowsMax && oldest !== undefined) this.#aside.delete(oldest);
  }
}

import { setTimeout as sleep } from 'node:timers/promises';
import { types } from 'node:util';

import { assertNever } from '@millrace/contracts';
import { addLoad, lingerMs, noLoad, type Linger, type Load } from '@millrace/runtime';
import type { Pool, PoolClient } from 'pg';

import { BadRowError } from './bad-row-error.ts';
import { sqlStateOf } from './connection-lost.ts';
import { classifyCommitFailure, raceWaitMs } from './core/commit-failure.ts';
import { bisect, Gathering } from './core/gathering.ts';
import { transact, withClient } from './pool.ts';

/** Rows of one statement: beyond some hundred a statement gains nothing and others wait. */
const rowsMaxDefault = 500;
/** Bytes of one statement's parameters, so that one batch of large bodies stays some 50 ms. */
const bytesMaxDefault = 4 * 1024 * 1024;
/**
 * Items that wait for a statement: a hundred full ones. Callers have limits of their own below it;
 * this is for the one that has none.
 */
const waitingMaxDefault = 50_000;
/** Rows are locked in key order, so a race is rare; five in a row means something else is wrong. */
const raceAttemptsMax = 5;

export interface GroupCommitOptions<Item, Result> {
  /** For messages of errors. */
  readonly name: string;
  readonly pool: Pool;
  /**
   * Applies the items, sorted by key and with at most one per key, and answers with one result
   * per item in the order given. It must change nothing when it throws: one statement, or
   * `transaction: true`. An UPDATE that joins `unnest` by an index locks in the order of the items:
   * two processes that meet on the same keys the wrong way round after all are refused by Postgres,
   * one of them, and what was refused is repeated.
   */
  readonly commit: (client: PoolClient, items: readonly Item[]) => Promise<readonly Result[]>;
  readonly keyOf: (item: Item) => string;
  readonly bytesOf?: (item: Item) => number;
  readonly transaction?: boolean;
  readonly rowsMax?: number;
  readonly bytesMax?: number;
  /** Items that may wait; what comes above is rejected at once, and was not committed. */
  readonly waitingMax?: number;
  /**
   * Waits for company when nothing runs, at so many items a second or more. Without it, what this
   * turn brought goes.
   */
  readonly linger?: Linger;
  /** Statements at a time. */
  readonly concurrency?: number;
}

/** Where an entry's outcome goes; many entries of one `submitAll` share one. */
interface Sink<Result> {
  resolve(index: number, result: Result): void;
  reject(index: number, error: Error): void;
}

interface Entry<Item, Result> {
  readonly item: Item;
  readonly key: string;
  readonly bytes: number;
  readonly sink: Sink<Result>;
  readonly index: number;
}

/**
 * Many small writes, few statements: items gather while the last statement runs and are then
 * committed by one. What goes together is decided in `core/gathering.ts`; here it is run.
 *
 * C1 Every item is settled exactly once, after the statement that holds it has ended.
 * C2 A bad row rejects alone, with BadRowError; the others of its batch are committed.
 * C3 When Postgres cannot be reached all of the batch reject, and whether they were committed is
 *    not known: callers are idempotent by key. The next batch tries anew.
 */
export class GroupCommit<Item, Result> {
  readonly #options: GroupCommitOptions<Item, Result>;
  readonly #gathering: Gathering<Entry<Item, Result>>;
  readonly #concurrency: number;
  readonly #linger: Linger;
  #load: Load = noLoad;
  #running = 0;
  /** The next statement is arranged: to start when others have had time to join, or at once. */
  #timer: NodeJS.Timeout | null = null;
  #startsAtOnce = false;
  #closed = false;
  #onIdle: (() => void)[] = [];

  constructor(options: GroupCommitOptions<Item, Result>) {
    this.#options = options;
    this.#concurrency = options.concurrency ?? 1;
    this.#linger = options.linger ?? { busyPerSecond: 0, lingerMs: 0 };
    this.#gathering = new Gathering({
      rowsMax: options.rowsMax ?? rowsMaxDefault,
      bytesMax: options.bytesMax ?? bytesMaxDefault,
    });
  }

  /** @throws BadRowError for a row that is refused; anything else means: not known, try again. */
  submit(item: Item): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#add([item], {
        resolve: (_index, result) => resolve(result),
        reject: (_index, error) => reject(error),
      });
    });
  }

  /** The same for many at once, at the cost of one promise. Never rejects. */
  submitAll(items: readonly Item[]): Promise<PromiseSettledResult<Result>[]> {
    if (items.length === 0) return Promise.resolve([]);
    return new Promise((resolve) => {
      const settled = new Array<PromiseSettledResult<Result>>(items.length);
      let left = items.length;
      const settle = (index: number, outcome: PromiseSettledResult<Result>): void => {
        settled[index] = outcome;
        left -= 1;
        if (left === 0) resolve(settled);
      };
      this.#add(items, {
        resolve: (index, value) => settle(index, { status: 'fulfilled', value }),
        reject: (index, reason) => settle(index, { status: 'rejected', reason }),
      });
    });
  }

  /** Takes nothing more and resolves when all that was taken is settled. */
  close(): Promise<void> {
    this.#closed = true;
    this.#pump();
    if (this.#running === 0 && this.#gathering.waiting === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  #add(items: readonly Item[], sink: Sink<Result>): void {
    const { keyOf, bytesOf, name, waitingMax = waitingMaxDefault } = this.#options;
    items.forEach((item, index) => {
      if (this.#closed || this.#gathering.waiting >= waitingMax) {
        const state = this.#closed ? 'closed' : 'full';
        sink.reject(index, new Error(`group commit ${name} is ${state}`));
        return;
      }
      const bytes = bytesOf?.(item) ?? 0;
      this.#gathering.add({ item, key: keyOf(item), bytes, sink, index });
    });
    this.#load = addLoad(this.#load, items.length, Date.now());
    this.#schedule();
  }

  /** Lets this turn of the event loop, or the linger, gather before the next statement. */
  #schedule(): void {
    if (this.#running >= this.#concurrency || this.#gathering.ready === 0) return;
    if (this.#startsAtOnce) return;
    const waitMs = this.#gathering.full ? 0 : lingerMs(this.#load, this.#linger);
    if (waitMs > 0) {
      if (this.#timer === null) this.#pumpWhenQuiet(performance.now() + waitMs);
      return;
    }
    this.#startsAtOnce = true;
    setImmediate(() => {
      this.#startsAtOnce = false;
      this.#pump();
    });
  }

  #pumpWhenQuiet(endsAtMs: number): void {
    const { waiting } = this.#gathering;
    const leftMs = endsAtMs - performance.now();
    this.#timer = setTimeout(
      () => {
        const isOver = this.#gathering.waiting === waiting || performance.now() >= endsAtMs;
        if (isOver) this.#pump();
        else this.#pumpWhenQuiet(endsAtMs);
      },
      Math.min(leftMs, this.#linger.quietMs ?? leftMs),
    );
  }

  #pump(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    while (this.#running < this.#concurrency && this.#gathering.ready > 0) {
      const batch = this.#gathering.take();
      this.#running += 1;
      void this.#run(batch).finally(() => {
        this.#running -= 1;
        this.#gathering.reopen(batch);
        this.#pump();
      });
    }
    if (this.#running > 0 || this.#gathering.waiting > 0) return;
    for (const idle of this.#onIdle.splice(0)) idle();
  }

  /** Never rejects: every entry of the batch is settled instead (C1). */
  async #run(batch: readonly Entry<Item, Result>[]): Promise<void> {
    const items = batch.map(({ item }) => item);
    for (let attempt = 1; ; attempt += 1) {
      try {
        const results = await this.#commit(items);
        return resolveAll(batch, results);
      } catch (error) {
        const failure = classifyCommitFailure(sqlStateOf(error));
        switch (failure.kind) {
          case 'again':
            if (attempt === raceAttemptsMax) return rejectAll(batch, error);
            await sleep(raceWaitMs(attempt, Math.random()));
            break;
          case 'bad-row':
            return this.#isolate(batch, new BadRowError(failure.sqlState, error));
          case 'lost':
            return rejectAll(batch, error);
          default:
            assertNever(failure);
        }
      }
    }
  }

  async #isolate(batch: readonly Entry<Item, Result>[], error: BadRowError): Promise<void> {
    if (batch.length === 1) return rejectAll(batch, error);
    const [left, right] = bisect(batch);
    await this.#run(left);
    await this.#run(right);
  }

  async #commit(items: readonly Item[]): Promise<readonly Result[]> {
    const { pool, commit, transaction, name } = this.#options;
    const results = await withClient(pool, (client) =>
      transaction === true
        ? transact(client, () => commit(client, items))
        : commit(client, items),
    );
    if (results.length !== items.length) {
      throw new TypeError(
        `group commit ${name}: ${results.length} results for ${items.length} items`,
      );
    }
    return results;
  }
}

function resolveAll<Item, Result>(
  batch: readonly Entry<Item, Result>[],
  results: readonly Result[],
): void {
  results.forEach((result, i) => {
    const entry = batch[i];
    entry?.sink.resolve(entry.index, result);
  });
}

function rejectAll<Item, Result>(
  batch: readonly Entry<Item, Result>[],
  thrown: unknown,
): void {
  // What `commit` throws is the app's: it may be anything.
  const error = types.isNativeError(thrown)
    ? thrown
    : new Error('commit failed', { cause: thrown });
  for (const { sink, index } of batch) sink.reject(index, error);
}

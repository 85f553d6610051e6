import { setTimeout as sleep } from 'node:timers/promises';

import { assertNever } from '@millrace/contracts';
import { BadRowError, isConnectionLost } from '@millrace/postgres';
import type { Pool } from '@millrace/postgres';
import { ulid } from 'ulid';

import { retryWaitMs } from './core/retry-wait.ts';
import { LeaseLost, WorkCancelled, WorkStopped } from './interruption.ts';
import { Processes } from './processes.ts';
import { Tenure } from './tenure.ts';
import type { WorkEvent, WorkLog } from './work-event.ts';
import type { Settled, WorkPolicy } from './work-policy.ts';

const leaseMsDefault = 10_000;
/** Also how long a cancel flag takes at most to reach its run. */
const heartbeatEveryMsDefault = 1_000;
/** A safety net only: due rows have their timer, new ones wake the queue. */
const pollEveryMsDefault = 1_000;
/** After the deadline of a stop, for runs that were aborted to be settled. */
const settleMsDefault = 2_000;
/**
 * Until rows that this process was given without hearing of it are put back. An answer comes
 * within 20 s of its statement or never (the pool's limit of a query). Who looks then waits up to
 * 5 s for a connection, and its own statement may begin up to 20 s later: 20 + 5 + 20.
 */
const unheldAgeMsDefault = 45_000;
/** With a second between them: a lease is mostly lost because Postgres is away. */
const lateAttemptsMax = 60;
/** While Postgres is away a thousand runs fail to settle at once: one line of log a second. */
const lossLogEveryMs = 1_000;

export interface WorkQueueOptions<Row extends { id: string }, Outcome> {
  readonly name: string;
  /** Where the table `processes` is. */
  readonly schema: string;
  readonly pool: Pool;
  readonly policy: WorkPolicy<Row, Outcome>;
  /** Rows that run at once. */
  readonly slotsMax: number;
  readonly leaseMs?: number;
  readonly heartbeatEveryMs?: number;
  readonly pollEveryMs?: number;
  /** Above the longest time between a statement and its answer. */
  readonly unheldAgeMs?: number;
  readonly log: WorkLog;
  readonly onEvent?: (event: WorkEvent) => void;
}

/** Slots set aside for rows that are about to be inserted as claimed already. */
export interface Reservation<Row> {
  readonly granted: number;
  /** The owner to insert them with. */
  readonly owner: string;
  /** Runs the rows that were really inserted. */
  start(rows: readonly Row[]): void;
  /** Gives back the slots that were not used. Always call it, also after a failure. */
  release(): void;
}

/**
 * Claims rows of a table, runs them, settles them.
 *
 * W1 A row runs only in the process that owns it, and only while that process holds its lease by
 *    its own monotonic clock, which counts from before each renewal and so ends first.
 * W2 A lost lease aborts every run with LeaseLost and settles none of them, their outcomes are at
 *    most noted; the process goes on as a new owner. Rows of the old one are reaped like those of
 *    a dead process.
 * W3 Claimed, reserved and running rows together never exceed `slotsMax`; with those that are being
 *    settled, they never exceed twice as many.
 * W4 A slot is free again when its row's run is over: the next row does not wait for a commit.
 * W5 New rows do not overtake waiting ones: nothing is reserved while a backlog is known.
 * W6 A row that is owned by nobody alive is found: a dead process's row stays in `processes`, and
 *    is reaped at every turn, for longer than any statement of that process can still commit.
 * W7 A stop claims nothing more, and ends its lease rather than its row: what it could not settle,
 *    or owns without knowing after a lost answer, is reaped at once by W6.
 * W8 A row that is owned by this process and not known to it, since an answer was lost, goes back
 *    to the queue; one that was begun never does.
 * W9 A row that is claimed again before this process has heard that it settled it waits for that,
 *    in the slot of its claim: a settlement's answer may be later than the row's next turn.
 */
export class WorkQueue<Row extends { id: string }, Outcome> {
  readonly #options: WorkQueueOptions<Row, Outcome>;
  readonly #policy: WorkPolicy<Row, Outcome>;
  readonly #processes: Processes;
  readonly #leaseMs: number;
  readonly #heartbeatEveryMs: number;
  #owner = ulid();
  /** Null before the start, and while there is no lease. */
  #tenure: Tenure<Row> | null = null;
  #stopping = false;
  #running = 0;
  #settling = 0;
  #reserved = 0;
  /** Resolved, and forgotten, whenever a slot is given back or a row settled. */
  #onFreed: (() => void)[] = [];
  #claimTimer: { readonly timer: NodeJS.Timeout; readonly atMs: number } | null = null;
  #claiming: Promise<void> = Promise.resolve();
  #leaseTimer: NodeJS.Timeout | undefined;
  #heartbeatTimer: NodeJS.Timeout | undefined;
  #reapTimer: NodeJS.Timeout | undefined;
  #reaping: Promise<void> = Promise.resolve();
  /** The look for cancel flags that runs; null when none does. */
  #cancelling: Promise<void> | null = null;
  /** The look for rows whose time is over that runs; null when none does. */
  #expiring: Promise<void> | null = null;
  #lossLoggedAtMs = -Infinity;

  constructor(options: WorkQueueOptions<Row, Outcome>) {
    this.#options = options;
    this.#policy = options.policy;
    this.#processes = new Processes(options.pool, options.schema);
    this.#leaseMs = options.leaseMs ?? leaseMsDefault;
    this.#heartbeatEveryMs = Math.min(
      options.heartbeatEveryMs ?? heartbeatEveryMsDefault,
      this.#leaseMs / 3,
    );
  }

  /** Changes when a lease was lost; stable between `reserve` and `release`. */
  get owner(): string {
    return this.#owner;
  }

  /** Rows that run, are being settled, or wait for that (W9). */
  get inFlight(): number {
    return this.#running + this.#settling;
  }

  /** @throws when the process cannot be registered. */
  async start(): Promise<void> {
    await this.#register();
    this.#reapSoon(0);
  }

  /** New claimable rows exist. */
  wake(): void {
    this.#tenure?.schedule.woken();
    this.#next();
  }

  /**
   * Sets up to `n` slots aside, for rows that the caller then inserts as owned by this process.
   * Rows above `granted` are inserted as waiting, followed by `wake()`.
   */
  reserve(n: number): Reservation<Row> {
    const tenure = this.#stopping ? null : this.#tenure;
    const open = tenure !== null && !tenure.schedule.backlog;
    const granted = open ? Math.max(0, Math.min(n, this.#slotsFree(tenure))) : 0;
    this.#reserved += granted;
    let left = granted;
    const giveBack = (slots: number): void => {
      left -= slots;
      this.#reserved -= slots;
      if (slots > 0) this.#freed();
    };
    return {
      granted,
      owner: this.#owner,
      start: (rows) => {
        if (tenure !== null) this.#startRows(tenure, rows, 'insert');
        giveBack(Math.min(left, rows.length));
      },
      release: () => giveBack(left),
    };
  }

  /**
   * Claims nothing from now on, waits for what runs, aborts the rest at the deadline
   * (WorkStopped), settles it and signs off. Settling takes `settleMs` at most: callers that must
   * end in time give less than they have left after the deadline.
   */
  async stop(options: { deadlineMs: number; settleMs?: number }): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#cancelClaimTimer();
    clearTimeout(this.#reapTimer);
    const deadlineAtMs = performance.now() + options.deadlineMs;
    await endsBy(this.#claiming, deadlineAtMs);
    await this.#drained(deadlineAtMs);
    this.#tenure?.abortAll(new WorkStopped());
    const graceEndsAtMs = performance.now() + (options.settleMs ?? settleMsDefault);
    await endsBy(this.#claiming, graceEndsAtMs);
    await this.#drained(graceEndsAtMs);
    await endsBy(this.#reaping, graceEndsAtMs);
    await this.#signOff();
  }

  // ── Lease ────────────────────────────────────────────────────────────────────────────────────

  async #register(): Promise<void> {
    const owner = ulid();
    const sentAtMs = performance.now();
    await this.#processes.register(owner, this.#leaseMs);
    if (this.#stopping) return this.#processes.expire(owner);
    this.#owner = owner;
    const tenure = new Tenure<Row>({
      owner,
      leaseEndsAtMs: sentAtMs + this.#leaseMs,
      pollEveryMs: this.#options.pollEveryMs ?? pollEveryMsDefault,
    });
    this.#tenure = tenure;
    this.#watchLease(tenure);
    if (tenure.over) return;
    this.#heartbeatSoon(tenure);
    this.#next();
  }

  /** Ends the tenure at the end of its lease, whether or not Postgres answers (W1). */
  #watchLease(tenure: Tenure<Row>): void {
    this.#checkLease(tenure);
    if (tenure.over) return;
    const leftMs = tenure.leaseEndsAtMs - performance.now();
    this.#leaseTimer = setTimeout(() => this.#watchLease(tenure), Math.max(0, leftMs));
  }

  /**
   * Ends the tenure if its lease is over. The timer alone is too late for a process that was
   * stopped: the event loop first brings the answers that came meanwhile.
   */
  #checkLease(tenure: Tenure<Row>): void {
    if (!tenure.over && performance.now() >= tenure.leaseEndsAtMs) this.#loseLease(tenure);
  }

  #heartbeatSoon(tenure: Tenure<Row>): void {
    this.#heartbeatTimer = setTimeout(() => {
      void this.#heartbeat(tenure).then(() => {
        if (!tenure.over) this.#heartbeatSoon(tenure);
      });
    }, this.#heartbeatEveryMs);
  }

  async #heartbeat(tenure: Tenure<Row>): Promise<void> {
    const sentAtMs = performance.now();
    try {
      const renewed = await this.#processes.renew(tenure.owner, this.#leaseMs);
      if (tenure.over) return;
      if (!renewed) return this.#loseLease(tenure);
      tenure.leaseEndsAtMs = sentAtMs + this.#leaseMs;
    } catch (error) {
      this.#options.log.warn({ ...this.#about(), err: error }, 'work heartbeat failed');
    }
    // Not awaited: a slow answer of the app's table must not cost the lease.
    if (this.#cancelling === null && tenure.running > 0) {
      this.#cancelling = this.#cancel(tenure).finally(() => (this.#cancelling = null));
    }
    if (this.#expiring === null && !this.#stopping) {
      this.#expiring = this.#expire(tenure).finally(() => (this.#expiring = null));
    }
  }

  async #cancel(tenure: Tenure<Row>): Promise<void> {
    try {
      for (const id of await this.#policy.cancelRequested(tenure.owner)) {
        tenure.abort(id, new WorkCancelled());
      }
    } catch (error) {
      this.#options.log.warn({ ...this.#about(), err: error }, 'work cancel flags not read');
    }
  }

  async #expire(tenure: Tenure<Row>): Promise<void> {
    try {
      const rows = (await this.#policy.expire?.(tenure.owner)) ?? 0;
      if (rows > 0) this.#options.log.info({ ...this.#about(), rows }, 'work has expired');
    } catch (error) {
      this.#options.log.warn({ ...this.#about(), err: error }, 'work not expired');
    }
  }

  /** Rows that were kept are not begun: they are reaped (W6), and their slots are free. */
  #end(tenure: Tenure<Row>): void {
    this.#running -= tenure.end();
    clearTimeout(this.#leaseTimer);
    clearTimeout(this.#heartbeatTimer);
  }

  #loseLease(tenure: Tenure<Row>): void {
    if (tenure.over) return;
    this.#end(tenure);
    this.#tenure = null;
    const { running } = tenure;
    this.#options.log.error({ ...this.#about(), running }, 'work lease lost');
    this.#tell({ type: 'lease-lost', running });
    tenure.abortAll(new LeaseLost());
    void this.#registerAgain();
  }

  /** Waits for reservations to be released first, so that `owner` is stable meanwhile. */
  async #registerAgain(): Promise<void> {
    for (let attempt = 1; !this.#stopping; attempt += 1) {
      while (this.#reserved > 0) await this.#nextFreed();
      try {
        await this.#register();
        this.#options.log.info(this.#about(), 'work owner registered again');
        return;
      } catch (error) {
        this.#options.log.warn({ ...this.#about(), err: error }, 'work registration failed');
        await sleep(retryWaitMs(attempt, Math.random()), undefined, { ref: false });
      }
    }
  }

  async #signOff(): Promise<void> {
    const tenure = this.#tenure;
    this.#tenure = null;
    if (tenure === null) return;
    this.#end(tenure);
    tenure.abortAll(new LeaseLost());
    try {
      await this.#processes.expire(tenure.owner);
    } catch (error) {
      this.#options.log.warn({ ...this.#about(), err: error }, 'work owner not signed off');
    }
  }

  // ── Claim ────────────────────────────────────────────────────────────────────────────────────

  #slotsFree(tenure: Tenure<Row>): number {
    const { slotsMax } = this.#options;
    const taken = this.#running + this.#reserved + tenure.claimLimit;
    // As many again may be settled: while Postgres is slow, outcomes do not pile up.
    return slotsMax - taken - Math.max(0, this.#settling - slotsMax);
  }

  /** Claims, or arranges when to look again. Called whenever something has changed. */
  #next(): void {
    const tenure = this.#tenure;
    if (tenure === null || this.#stopping) return;
    const nowMs = performance.now();
    const next = tenure.schedule.next(nowMs, this.#slotsFree(tenure));
    switch (next.kind) {
      case 'claim':
        this.#claiming = this.#claim(tenure, next.limit);
        return;
      case 'at':
        return this.#nextAt(next.atMs, nowMs);
      case 'wait':
        return;
      default:
        assertNever(next);
    }
  }

  #nextAt(atMs: number, nowMs: number): void {
    if (this.#claimTimer !== null && this.#claimTimer.atMs <= atMs) return;
    this.#cancelClaimTimer();
    const fire = (): void => {
      this.#claimTimer = null;
      this.#next();
    };
    this.#claimTimer = { timer: setTimeout(fire, Math.ceil(atMs - nowMs)), atMs };
  }

  #cancelClaimTimer(): void {
    if (this.#claimTimer !== null) clearTimeout(this.#claimTimer.timer);
    this.#claimTimer = null;
  }

  async #claim(tenure: Tenure<Row>, limit: number): Promise<void> {
    const { schedule, owner } = tenure;
    const beganAtMs = performance.now();
    schedule.began(beganAtMs);
    tenure.claimLimit = limit;
    try {
      const { rows, nextDueInMs } = await this.#policy.claim({ owner, limit });
      const nowMs = performance.now();
      schedule.answered({ rows: rows.length, limit, nextDueInMs }, nowMs);
      tenure.claimLimit = 0;
      this.#tell({ type: 'claimed', rows: rows.length, limit, ms: nowMs - beganAtMs });
      this.#startRows(tenure, rows, 'claim');
    } catch (error) {
      schedule.failed(performance.now(), Math.random());
      tenure.claimLimit = 0;
      this.#options.log.warn({ ...this.#about(), err: error }, 'work claim failed');
    }
    this.#next();
  }

  // ── Run and settle ───────────────────────────────────────────────────────────────────────────

  #startRows(tenure: Tenure<Row>, rows: readonly Row[], via: 'claim' | 'insert'): void {
    this.#checkLease(tenure);
    // Their owner is not this process any more: they are reaped (W6).
    if (tenure.over || rows.length === 0) return;
    this.#tell({ type: 'started', rows: rows.length, via });
    for (const row of rows) this.#startRow(tenure, row);
  }

  #startRow(tenure: Tenure<Row>, row: Row): void {
    if (!tenure.runs(row.id)) {
      this.#running += 1;
      return this.#runRow(tenure, row);
    }
    if (tenure.keep(row)) this.#running += 1;
    else this.#options.log.error({ ...this.#about(), row: row.id }, 'work row claimed twice');
  }

  /** In a slot that is counted already. */
  #runRow(tenure: Tenure<Row>, row: Row): void {
    const signal = tenure.begin(row.id);
    // A stuck row stays held: it may have been begun, so it is for the reaper of this process.
    void this.#workOn(tenure, row, signal)
      .then((settled) => {
        tenure.finish(row.id);
        if (settled === 'waits') tenure.schedule.settled(performance.now());
      })
      .catch((error: unknown) => {
        this.#options.log.error({ ...this.#about(), row: row.id, err: error }, 'work row stuck');
      })
      .finally(() => {
        this.#settling -= 1;
        this.#runKept(tenure, row.id);
        this.#freed();
      });
  }

  #runKept(tenure: Tenure<Row>, rowId: string): void {
    const row = tenure.takeKept(rowId);
    if (row !== undefined) this.#runRow(tenure, row);
  }

  /** @returns null when the outcome was not written: the lease is lost. */
  async #workOn(
    tenure: Tenure<Row>,
    row: Row,
    signal: AbortSignal,
  ): Promise<Settled | null> {
    const outcome = await this.#outcomeOf(tenure, row, signal).finally(() => this.#ran());
    const settled = await this.#settle(tenure, row, outcome);
    if (settled === null) {
      this.#tell({ type: 'dropped' });
      // Not awaited: nothing of it is to be settled any more.
      void this.#noteLate(row, outcome);
    }
    return settled;
  }

  async #outcomeOf(tenure: Tenure<Row>, row: Row, signal: AbortSignal): Promise<Outcome> {
    try {
      return await this.#policy.run(row, signal, () => this.#checkLease(tenure));
    } catch (error) {
      this.#options.log.error({ ...this.#about(), row: row.id, err: error }, 'work run crashed');
      return this.#policy.crashed(row, error);
    }
  }

  /** A run is over: its slot is free. */
  #ran(): void {
    this.#running -= 1;
    this.#settling += 1;
    this.#freed();
  }

  /** Never rejects: what cannot be noted for so long is given up. */
  async #noteLate(row: Row, outcome: Outcome): Promise<void> {
    for (let attempts = 1; attempts <= lateAttemptsMax; attempts += 1) {
      try {
        return await this.#policy.noteLate?.(row, outcome);
      } catch (error) {
        this.#logUnsettled(row, error);
      }
      await sleep(retryWaitMs(attempts, Math.random()), undefined, { ref: false });
    }
  }

  /** Tries for as long as the lease holds. @returns null when the outcome was not written. */
  async #settle(
    tenure: Tenure<Row>,
    row: Row,
    outcome: Outcome,
  ): Promise<Settled | null> {
    const beganAtMs = performance.now();
    let settling = outcome;
    let refused = false;
    for (let attempts = 1; !tenure.over; attempts += 1) {
      try {
        const settled = await this.#policy.settle(row, settling);
        this.#tell({ type: 'settled', ms: performance.now() - beganAtMs, attempts });
        return settled;
      } catch (error) {
        this.#logUnsettled(row, error);
        if (error instanceof BadRowError && !refused) {
          refused = true;
          settling = this.#policy.crashed(row, error);
          continue;
        }
      }
      await sleep(retryWaitMs(attempts, Math.random()));
    }
    return null;
  }

  #logUnsettled(row: Row, error: unknown): void {
    const nowMs = performance.now();
    const lost = isConnectionLost(error);
    if (lost && nowMs - this.#lossLoggedAtMs < lossLogEveryMs) return;
    if (lost) this.#lossLoggedAtMs = nowMs;
    this.#options.log.warn({ ...this.#about(), row: row.id, err: error }, 'work not settled');
  }

  /** A slot was given back, or a row settled. */
  #freed(): void {
    for (const resolve of this.#onFreed.splice(0)) resolve();
    this.#next();
  }

  #nextFreed(): Promise<void> {
    return new Promise((resolve) => this.#onFreed.push(resolve));
  }

  /** Waits until no row is held and no slot set aside, or for the deadline. */
  async #drained(deadlineAtMs: number): Promise<void> {
    while (this.inFlight > 0 || this.#reserved > 0) {
      if (!(await endsBy(this.#nextFreed(), deadlineAtMs))) return;
    }
  }

  // ── Reap ─────────────────────────────────────────────────────────────────────────────────────

  #reapSoon(delayMs: number): void {
    if (this.#stopping) return;
    this.#reapTimer = setTimeout(() => {
      this.#reaping = this.#reap()
        .then(() => this.#releaseUnheld())
        .finally(() => this.#reapSoon(this.#leaseMs / 2));
    }, delayMs);
  }

  async #reap(): Promise<void> {
    try {
      const reaped = await this.#processes.reapDead((ids) => this.#policy.reap(ids));
      if (reaped.rows === 0) return;
      this.#options.log.warn({ ...this.#about(), ...reaped }, 'work of dead processes reaped');
      this.#tell({ type: 'reaped', processes: reaped.processes.length, rows: reaped.rows });
      this.wake();
    } catch (error) {
      this.#options.log.warn({ ...this.#about(), err: error }, 'work reaping failed');
    }
  }

  /** Rows of this process that it does not know of (W8). */
  async #releaseUnheld(): Promise<void> {
    const tenure = this.#tenure;
    if (tenure === null) return;
    const { unheldAgeMs: ageMs = unheldAgeMsDefault } = this.#options;
    const { owner } = tenure;
    try {
      const held = (): readonly string[] => tenure.heldIds;
      const rows = await this.#policy.releaseUnheld({ owner, held, ageMs });
      if (rows === 0) return;
      this.#options.log.warn({ ...this.#about(), rows }, 'work that nobody ran was put back');
      this.wake();
    } catch (error) {
      this.#options.log.warn({ ...this.#about(), err: error }, 'work release failed');
    }
  }

  #about(): { queue: string; owner: string } {
    return { queue: this.#options.name, owner: this.#owner };
  }

  #tell(event: WorkEvent): void {
    this.#options.onEvent?.(event);
  }
}

/** @returns whether the promise was settled before the deadline of the monotonic clock. */
async function endsBy(promise: Promise<void>, deadlineAtMs: number): Promise<boolean> {
  const timer = new AbortController();
  const leftMs = Math.max(0, deadlineAtMs - performance.now());
  const late = sleep(leftMs, false, { signal: timer.signal }).catch(() => false);
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    timer.abort();
  }
}

import { ClaimSchedule } from './core/claim-schedule.ts';
import type { Interruption } from './interruption.ts';

/**
 * One registration of this process as an owner: from its row in `processes` to the loss of its
 * lease or the stop. Rows belong to a tenure, so that whatever is late finds its own one over.
 */
export class Tenure<Row extends { id: string }> {
  readonly owner: string;
  readonly schedule: ClaimSchedule;
  readonly #running = new Map<string, AbortController>();
  readonly #kept = new Map<string, Row>();
  /** Set by `abortAll`, and meant for rows too that a late claim still brings. */
  #interruption: Interruption | null = null;
  /** By the monotonic clock, counted from before the renewal was sent: never too late. */
  leaseEndsAtMs: number;
  /** Slots kept for the rows of the claim that runs. */
  claimLimit = 0;
  #over = false;

  constructor(options: { owner: string; leaseEndsAtMs: number; pollEveryMs: number }) {
    this.owner = options.owner;
    this.leaseEndsAtMs = options.leaseEndsAtMs;
    this.schedule = new ClaimSchedule(options.pollEveryMs);
  }

  /** Whether its rows may belong to somebody else by now. */
  get over(): boolean {
    return this.#over;
  }

  /** @returns how many rows were kept, which nobody runs any more. */
  end(): number {
    this.#over = true;
    const kept = this.#kept.size;
    this.#kept.clear();
    return kept;
  }

  /** Rows that run, or are being settled. */
  get running(): number {
    return this.#running.size;
  }

  /** Ids of those rows, and of the kept ones. */
  get heldIds(): string[] {
    return [...this.#running.keys(), ...this.#kept.keys()];
  }

  /** Whether the row runs or is being settled, as far as this process has heard. */
  runs(rowId: string): boolean {
    return this.#running.has(rowId);
  }

  /** For when the row's own run is over. @returns false when one is kept, a policy's bug. */
  keep(row: Row): boolean {
    if (this.#kept.has(row.id)) return false;
    this.#kept.set(row.id, row);
    return true;
  }

  /** @returns the kept row of this id, which is kept no longer. */
  takeKept(rowId: string): Row | undefined {
    const row = this.#kept.get(rowId);
    this.#kept.delete(rowId);
    return row;
  }

  /** @returns the signal for the row's run. */
  begin(rowId: string): AbortSignal {
    const controller = new AbortController();
    if (this.#interruption !== null) controller.abort(this.#interruption);
    this.#running.set(rowId, controller);
    return controller.signal;
  }

  finish(rowId: string): void {
    this.#running.delete(rowId);
  }

  /** Nothing happens when the row does not run. A signal keeps its first reason. */
  abort(rowId: string, reason: Interruption): void {
    this.#running.get(rowId)?.abort(reason);
  }

  abortAll(reason: Interruption): void {
    this.#interruption = reason;
    for (const controller of this.#running.values()) controller.abort(reason);
  }
}

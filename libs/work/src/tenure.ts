import { ClaimSchedule } from './core/claim-schedule.ts';
import type { Interruption } from './interruption.ts';

/**
 * One registration of this process as an owner: from its row in `processes` to the loss of its
 * lease or the stop. Rows belong to a tenure, so that whatever is late finds its own one over.
 */
export class Tenure {
  readonly owner: string;
  readonly schedule: ClaimSchedule;
  readonly #running = new Map<string, AbortController>();
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

  end(): void {
    this.#over = true;
  }

  /** Rows that run, or are being settled. */
  get running(): number {
    return this.#running.size;
  }

  /** Which rows those are. */
  get runningIds(): string[] {
    return [...this.#running.keys()];
  }

  /** @returns the signal for the row's run; null when it runs already, which is a policy's bug. */
  begin(rowId: string): AbortSignal | null {
    if (this.#running.has(rowId)) return null;
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

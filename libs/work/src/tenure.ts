import { ClaimSchedule } from './core/claim-schedule.ts';
import type { Interruption } from './interruption.ts';

/**
 * One registration of this process as an owner: from its row in `processes` to the loss of its
 * lease or the stop. Rows belong to a tenure, so that whatever is late finds its own one over.
 */
export class Tenure {
  readonly owner: string;
  readonly schedule: ClaimSchedule;
  /** By row id. */
  readonly running = new Map<string, AbortController>();
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

  abortAll(reason: Interruption): void {
    for (const controller of this.running.values()) controller.abort(reason);
  }
}

/** Rows of one claim: one statement of some 10 ms. More slots are filled by the next one. */
export const claimRowsMax = 500;
/** With this many slots free a claim is worth its round trip at once. */
export const claimRowsWorth = 100;
/** Otherwise claims are this far apart, so that under load each takes what several ends freed. */
export const claimGapMs = 10;
/** After a row was settled that waits for its `not_before`: the next claim asks when it is due. */
export const settledLookMs = 100;
const failureWaitMsFirst = 100;
const failureWaitMsMax = 5_000;

export type NextClaim =
  | { readonly kind: 'claim'; readonly limit: number }
  | { readonly kind: 'at'; readonly atMs: number }
  /** Nothing to do until a slot is freed or the running claim answers. */
  | { readonly kind: 'wait' };

/**
 * When to claim next, and how much. All times are of one monotonic clock.
 *
 * S1 One claim at a time, and never for more rows than there are free slots.
 * S2 Rows that may be waiting are claimed as soon as there is a slot, at most `claimGapMs` later.
 * S3 Without a hint a claim is made when a row falls due, soon after one was settled that waits for
 *    its next turn, and every `pollEveryMs`; not else.
 * S4 After a failure the next claim waits, twice as long each time.
 */
export class ClaimSchedule {
  readonly #pollEveryMs: number;
  #claiming = false;
  #backlog = true;
  #lastBeganAtMs = -Infinity;
  #dueAtMs = Infinity;
  #lookAtMs = Infinity;
  #pollAtMs = -Infinity;
  #notBeforeMs = -Infinity;
  #failures = 0;

  constructor(pollEveryMs: number) {
    this.#pollEveryMs = pollEveryMs;
  }

  /** Whether rows are probably waiting that the next claim will bring. */
  get backlog(): boolean {
    return this.#backlog;
  }

  next(nowMs: number, slotsFree: number): NextClaim {
    if (this.#claiming || slotsFree <= 0) return { kind: 'wait' };
    const hintAtMs = Math.min(this.#dueAtMs, this.#lookAtMs, this.#pollAtMs);
    const wantedAtMs = this.#backlog ? nowMs : hintAtMs;
    const gapMs = slotsFree >= claimRowsWorth ? 0 : claimGapMs;
    const atMs = Math.max(wantedAtMs, this.#lastBeganAtMs + gapMs, this.#notBeforeMs);
    if (atMs > nowMs) return { kind: 'at', atMs };
    return { kind: 'claim', limit: Math.min(slotsFree, claimRowsMax) };
  }

  /** Somebody made a row claimable. */
  woken(): void {
    this.#backlog = true;
  }

  /** A row was settled, and waits for its next turn. */
  settled(nowMs: number): void {
    this.#lookAtMs = Math.min(this.#lookAtMs, nowMs + settledLookMs);
  }

  began(nowMs: number): void {
    this.#claiming = true;
    this.#lastBeganAtMs = nowMs;
    // What comes while the claim runs may be too late for it, so it counts for the next one.
    this.#backlog = false;
    this.#lookAtMs = Infinity;
  }

  answered(
    claim: { rows: number; limit: number; nextDueInMs: number | null },
    nowMs: number,
  ): void {
    this.#claiming = false;
    this.#failures = 0;
    this.#backlog ||= claim.rows >= claim.limit;
    this.#dueAtMs = claim.nextDueInMs === null ? Infinity : nowMs + claim.nextDueInMs;
    this.#pollAtMs = nowMs + this.#pollEveryMs;
  }

  /** `random` is in [0, 1). */
  failed(nowMs: number, random: number): void {
    this.#claiming = false;
    this.#backlog = true;
    this.#failures += 1;
    const waitMs = Math.min(failureWaitMsFirst * 2 ** (this.#failures - 1), failureWaitMsMax);
    this.#notBeforeMs = nowMs + waitMs * (0.5 + random / 2);
  }
}

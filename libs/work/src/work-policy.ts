export interface Claimed<Row> {
  readonly rows: Row[];
  /** Until the earliest row that waits for its `not_before`; null when none does. */
  readonly nextDueInMs: number | null;
}

export interface ReleaseUnheld {
  readonly owner: string;
  /** Ids that it knows to be its own. To be asked with a connection at hand: see `ageMs`. */
  readonly held: () => readonly string[];
  /** Rows that were given to it more recently may be on their way. */
  readonly ageMs: number;
}

/** Whether a row is over, or `waits` for its next turn: the queue then asks when that is due. */
export type Settled = 'ended' | 'waits';

/** How long a row is this process's, for those that a run hands it on to. */
export interface Hold {
  /** Aborted with an Interruption. */
  readonly signal: AbortSignal;
  /** See `WorkPolicy.run`. */
  readonly checkLease: () => void;
}

/**
 * What a queue does with its own table: the engine knows no columns. Every statement that changes
 * a row is fenced by its owner (`WHERE owner = …`), so that a process whose lease was lost changes
 * nothing. None of them may lock rows of `processes`: the reaper holds them while it calls `reap`.
 */
export interface WorkPolicy<Row extends { id: string }, Outcome> {
  /** Takes up to `limit` rows that are due, in the policy's order, with FOR UPDATE SKIP LOCKED. */
  claim(options: { owner: string; limit: number }): Promise<Claimed<Row>>;
  /**
   * Does the work. A throw is a bug and goes to `crashed`; failures are outcomes. `checkLease` is
   * to be called right before what cannot be taken back: in a process that has slept, answers may
   * be heard before the timer that ends its lease. It aborts `signal` when the lease is over.
   */
  run(row: Row, signal: AbortSignal, checkLease: () => void): Promise<Outcome>;
  /** The outcome of a row whose run threw, or whose own outcome Postgres refuses. */
  crashed(row: Row, error: unknown): Outcome;
  /** Writes the outcome. Called again while Postgres is away, as long as the lease holds. */
  settle(row: Row, outcome: Outcome): Promise<Settled>;
  /**
   * What became of a row whose lease was lost before it could be settled: for the record, and no
   * row is to be changed. Called again for some seconds while Postgres is away.
   */
  noteLate?(row: Row, outcome: Outcome): Promise<void>;
  /**
   * Ends rows whose time to wait is over, and says how many that were. Asked with every heartbeat,
   * whether or not there are slots for them.
   */
  expire?(owner: string): Promise<number>;
  /** Ids of rows that `owner` holds and somebody wants cancelled. */
  cancelRequested(owner: string): Promise<string[]>;
  /**
   * Closes or frees whatever these processes still hold, and says how many rows that were. Called
   * several times for the same process, and by several processes.
   */
  reap(deadOwners: string[]): Promise<number>;
  /**
   * Puts back what a statement gave `owner` and whose answer never arrived: its owner lives, so
   * nobody reaps it, and nothing of it was begun. Says how many rows that were.
   */
  releaseUnheld(options: ReleaseUnheld): Promise<number>;
}

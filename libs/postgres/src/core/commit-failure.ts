/**
 * What a failed statement means for its batch.
 * - `again`: it lost a race for locks and changed nothing; the same batch is to be sent again.
 * - `bad-row`: one row is at fault; the rest would pass without it.
 * - `lost`: nothing is known of the rows; everyone who waits is told.
 */
export type CommitFailure =
  | { readonly kind: 'again' }
  | { readonly kind: 'bad-row'; readonly sqlState: string }
  | { readonly kind: 'lost' };

/** deadlock_detected, serialization_failure. */
const raceStates = new Set(['40P01', '40001']);
/**
 * Data exception, integrity violation, and program limit exceeded (a key too long for its index):
 * the same row would be refused for ever, and with it every batch it is in.
 */
const badRowClasses = new Set(['22', '23', '54']);

/** Classifies by SQLSTATE; null is an error that the server did not answer with. */
export function classifyCommitFailure(sqlState: string | null): CommitFailure {
  if (sqlState === null) return { kind: 'lost' };
  if (raceStates.has(sqlState)) return { kind: 'again' };
  if (badRowClasses.has(sqlState.slice(0, 2))) return { kind: 'bad-row', sqlState };
  return { kind: 'lost' };
}

/** The longest wait after the first lost race; it doubles with each further one. */
const raceWaitMsFirst = 10;

/** How long to wait after the nth lost race (from 1); `random` is in [0, 1). */
export function raceWaitMs(attempt: number, random: number): number {
  return raceWaitMsFirst * 2 ** (attempt - 1) * (0.5 + random / 2);
}

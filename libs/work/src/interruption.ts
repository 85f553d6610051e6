/** Why a run's signal was aborted: the signal's `reason` is one of these three. */
export type Interruption = WorkCancelled | WorkStopped | LeaseLost;

/** Someone asked for this row to be cancelled. Its outcome is settled. */
export class WorkCancelled extends Error {
  override readonly name = 'WorkCancelled';

  constructor() {
    super('the work was cancelled');
  }
}

/** This process is stopping and its deadline is over. The outcome is settled. */
export class WorkStopped extends Error {
  override readonly name = 'WorkStopped';

  constructor() {
    super('the process is stopping');
  }
}

/** This process no longer owns the row: another may run it by now. The outcome is dropped. */
export class LeaseLost extends Error {
  override readonly name = 'LeaseLost';

  constructor() {
    super('the lease of this process was lost');
  }
}

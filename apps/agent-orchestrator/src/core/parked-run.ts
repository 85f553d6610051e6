import {
  agentSecondsDefault,
  type ErrorCode,
  type JobError,
  type Spending,
} from '@millrace/contracts';

import type { WorkflowHead } from './journal-entry.ts';
import type { EpochMs, WorkflowEnd, WorkflowEvent } from './workflow.ts';

/*
 * A run that no reducer here can go on with still has to end: by a cancel, and by its time. What it
 * had under way is not known, and is not called back: its answers find the end.
 */

/** Timers that a run has which was parked before its first step: nobody else sets them. */
export function parkedTimers(
  head: WorkflowHead,
  nowMs: EpochMs,
): readonly { readonly name: string; readonly at: EpochMs }[] {
  const seconds = head.budget?.seconds ?? agentSecondsDefault;
  const deadline = { name: 'deadline', at: nowMs + seconds * 1_000 };
  const completeBy = Date.parse(head.complete_by ?? '');
  if (Number.isNaN(completeBy)) return [deadline];
  return [deadline, { name: 'complete_by', at: completeBy }];
}

/** Whether an event may end a run without a reducer. */
export function mayEnd(event: WorkflowEvent): boolean {
  switch (event.type) {
    case 'cancel_requested':
      return true;
    case 'timer_fired':
      return event.name === 'deadline' || event.name === 'complete_by';
    default:
      return false;
  }
}

export interface ParkedRun {
  readonly head: WorkflowHead;
  /** Why it is parked. */
  readonly code: ErrorCode;
  readonly nowMs: EpochMs;
  /** What is known of it. */
  readonly spent: Spending;
}

/** How a parked run ends by an event; null: it does not, and the event waits with it. */
export function endOfParked(event: WorkflowEvent, run: ParkedRun): WorkflowEnd | null {
  if (!mayEnd(event)) return null;
  const rest = { spent: run.spent, tainted: true, standIn: false };
  if (event.type === 'cancel_requested') {
    return { ...endedAs('cancelled', 'cancelled', 'the job was cancelled'), ...rest };
  }
  const isCompleteBy = event.type === 'timer_fired' && event.name === 'complete_by';
  if (!isCompleteBy) {
    const detail = 'no release could go on with the run before its time was over';
    return { ...endedAs('failed', run.code, detail), ...rest };
  }
  if (run.nowMs < Date.parse(run.head.complete_by ?? '')) return null;
  const detail = 'the job did not end in time: no release could go on with it';
  return { ...endedAs('expired', 'deadline_exceeded', detail), ...rest };
}

function endedAs(
  status: WorkflowEnd['status'],
  code: ErrorCode,
  detail: string,
): { readonly status: WorkflowEnd['status']; readonly error: JobError } {
  return { status, error: { code, detail } };
}

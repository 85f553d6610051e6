import {
  assertNever,
  type JobProgressed,
  type JobStatusChanged,
  type TimelineEvent,
} from '@millrace/contracts';

/**
 * What a progress record adds to its job's timeline. Of a workflow's status nothing: the steps
 * that it follows from are told by the workflow itself.
 */
export function progressEvent(progress: JobProgressed): TimelineEvent | null {
  switch (progress.kind) {
    case 'attempt':
      return { kind: 'attempt', at: progress.attempt.ended_at, attempt: progress.attempt };
    case 'status':
      return null;
    // An older release tells of nothing else.
    case undefined:
    case 'running':
      return { kind: 'running', at: progress.at, attempt: progress.attempt };
    default:
      return assertNever(progress);
  }
}

/** Whether a record says that a call of its job runs; an attempt that was closed says it waits. */
export function saysRunning(progress: JobProgressed): boolean {
  return progress.kind === 'running' || progress.kind === undefined;
}

/** Whether a record says what a workflow waits for, or that it goes on. */
export function saysStatus(progress: JobProgressed): progress is JobStatusChanged {
  return progress.kind === 'status';
}

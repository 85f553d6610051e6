import { assertNever, type JobProgressed, type TimelineEvent } from '@millrace/contracts';

/** What a progress record adds to its job's timeline. */
export function progressEvent(progress: JobProgressed): TimelineEvent {
  switch (progress.kind) {
    case 'attempt':
      return { kind: 'attempt', at: progress.attempt.ended_at, attempt: progress.attempt };
    // An older release tells of nothing else.
    case undefined:
    case 'running':
      return { kind: 'running', at: progress.at, attempt: progress.attempt };
    default:
      return assertNever(progress);
  }
}

/** Whether a record says that its job runs; an attempt that was closed says that it waits. */
export function saysRunning(progress: JobProgressed): boolean {
  return progress.kind !== 'attempt';
}

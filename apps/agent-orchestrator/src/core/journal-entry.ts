import type { JobStatusChanged, WorkflowRequested } from '@millrace/contracts';

import type { Command, EpochMs, NotedStep, WorkflowEnd, WorkflowEvent } from './workflow.ts';

/** What asked for a workflow, without its parameters: what its events are made of. */
export type WorkflowHead = Omit<WorkflowRequested, 'params' | 'params_ref'>;

/** An end whose message is too large to travel, or to be held in the journal. */
export type StoredEnd = WorkflowEnd & { readonly messageRef?: string };

/** A command as the journal holds it: with references in place of what is too large. */
export type StoredCommand =
  | Exclude<Command, { kind: 'finish' }>
  | { readonly kind: 'finish'; readonly end: StoredEnd };

/** What a version of a workflow was answered with: all that is published of it derives from it. */
export interface Answer {
  readonly version: number;
  /** Of the decision, by the database's clock. */
  readonly atMs: EpochMs;
  readonly commands: readonly StoredCommand[];
  /** What the job waits for since this version, where that is to be told. */
  readonly told?: JobStatusChanged['status'];
  /**
   * Of the reducer that decided it, by which alone it is replayed. Absent in entries of older
   * releases, which had version 1 alone, and where a run ended without a reducer.
   */
  readonly schemaVersion?: number;
  readonly noted?: readonly NotedStep[];
}

/** One version of a workflow: what happened, and what was answered. */
export interface JournalEntry extends Answer {
  readonly event: WorkflowEvent;
}

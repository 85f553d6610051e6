import type { OutgoingMessage } from '@millrace/contracts';
import type { Context } from '@opentelemetry/api';

import type { FoldedEvent, FoldedOutcome, HeldWorkflow } from './core/fold.ts';
import type { Answer, JournalEntry } from './core/journal-entry.ts';

/** A workflow, and where its rows lie. */
export interface WorkflowName {
  readonly tenant: string;
  readonly id: string;
  readonly day: string;
}

/** One event on its way to its workflow. */
export interface Arrival extends FoldedEvent {
  readonly workflow: WorkflowName;
  /** What is published of it follows this in the trace; null: it follows the workflow's own. */
  readonly context: Context | null;
  /** No record causes it: what is to be published is committed with it. */
  readonly byOutbox: boolean;
  /** The timer whose firing it is. */
  readonly timer?: { readonly name: string; readonly version: number };
}

/** The events of one workflow that are applied together, in their order. */
export interface WorkflowBatch {
  readonly workflow: WorkflowName;
  readonly arrivals: readonly Arrival[];
}

export type Applied =
  /** Another writer was first: nothing was written, and all of it is to be decided again. */
  | { readonly kind: 'lost' }
  | {
      readonly kind: 'done';
      /** One for each arrival. */
      readonly outcomes: readonly FoldedOutcome[];
      readonly next: HeldWorkflow | null;
      /** Of the workflow, for those events that no record brought. */
      readonly trace: Readonly<Record<string, string>>;
      /** Answers to what the journal has already, by event id. */
      readonly answered: ReadonlyMap<string, Answer>;
      /** Committed with the events, by their outbox. */
      readonly outbox: readonly OutgoingMessage[];
    };

export interface DueTimer {
  readonly workflow: WorkflowName;
  readonly name: string;
  readonly version: number;
  readonly dueAtMs: number;
  readonly trace: Readonly<Record<string, string>>;
}

export interface TakenTimers {
  readonly due: readonly DueTimer[];
  /** Until the next one is due; null: there is none. */
  readonly nextDueInMs: number | null;
}

/** Where a page of a journal begins, and how much it may have; its first entry is always there. */
export interface JournalRange {
  readonly from: number;
  readonly limit: number;
  readonly bytesMax: number;
}

export interface JournalPage {
  /** Oldest first. */
  readonly entries: readonly JournalEntry[];
  /** As they lie in the journal, without the bodies that they refer to. */
  readonly bytes: number;
  /** Of the page after it; null: there is none. */
  readonly next: number | null;
}

/** Workflows and their journal. Injected by its class. */
export abstract class Workflows {
  /** Rejected alone: a workflow that the database refuses. */
  abstract apply(
    batches: readonly WorkflowBatch[],
  ): Promise<readonly PromiseSettledResult<Applied>[]>;
  /** The entries of these versions, as far as there are such, oldest first. */
  abstract answers(workflow: WorkflowName, versions: readonly number[]): Promise<Answer[]>;
  /** Parks what the database refuses, with what it refused beside it if that can be kept. */
  abstract park(batch: WorkflowBatch): Promise<void>;
  abstract journal(workflow: WorkflowName, range: JournalRange): Promise<JournalPage>;
  abstract find(workflow: WorkflowName): Promise<HeldWorkflow | null>;
}

import { isTerminal, type ErrorCode, type JobStatusChanged } from '@millrace/contracts';

import type { JournalEntry, WorkflowHead } from './journal-entry.ts';
import { newestReducer, runnable, type Reducers } from './reducers.ts';
import type { EpochMs, Reducer, Workflow, WorkflowEvent, WorkflowKind } from './workflow.ts';

/** A workflow's row, or what it is before its first event. */
export interface HeldWorkflow extends Workflow {
  readonly head: WorkflowHead;
  readonly parkedCode: ErrorCode | null;
}

export interface FoldInput {
  /** Null: there is no row. */
  readonly held: HeldWorkflow | null;
  /** Event ids that its journal has. */
  readonly known: ReadonlySet<string>;
  readonly events: readonly FoldedEvent[];
  readonly nowMs: EpochMs;
  readonly reducers: Reducers;
}

export interface FoldedEvent {
  readonly event: WorkflowEvent;
  /** What the journal keeps: references in place of bodies that were read for the decision. */
  readonly stored: WorkflowEvent;
  /** What a workflow begins with; null for what can begin none. */
  readonly head: WorkflowHead | null;
  /** It was kept while the workflow was parked, or is to try it once more. */
  readonly unparks: boolean;
}

/** What became of one event. */
export type FoldedOutcome =
  | { readonly kind: 'applied'; readonly entry: JournalEntry }
  /** It is in the journal already. */
  | { readonly kind: 'known' }
  | { readonly kind: 'ignored'; readonly why: string }
  /** There is no such workflow, and the event begins none. */
  | { readonly kind: 'unknown' }
  /** It waits beside the workflow for a release that can go on. */
  | { readonly kind: 'parked'; readonly code: ErrorCode; readonly thrown?: unknown };

export interface Folded {
  readonly outcomes: readonly FoldedOutcome[];
  /** The workflow after all of it; null when there is none. */
  readonly next: HeldWorkflow | null;
}

/**
 * Decides a batch's events of one workflow in their order. Each one that changes it is a version;
 * what comes after one that nobody here can decide waits with it.
 */
export function fold(input: FoldInput): Folded {
  const outcomes: FoldedOutcome[] = [];
  const known = new Set(input.known);
  let next = input.held;
  for (const folded of input.events) {
    const step = foldOne(next, folded, { ...input, known });
    if (step.next !== null) next = step.next;
    outcomes.push(step.outcome);
    if (step.outcome.kind === 'applied') known.add(folded.event.eventId);
  }
  return { outcomes, next };
}

interface FoldStep {
  readonly outcome: FoldedOutcome;
  /** Null: as it was. */
  readonly next: HeldWorkflow | null;
}

function foldOne(held: HeldWorkflow | null, folded: FoldedEvent, input: FoldInput): FoldStep {
  const { event, head, unparks } = folded;
  if (input.known.has(event.eventId)) return { outcome: { kind: 'known' }, next: null };
  const before = held ?? (head === null ? null : begin(head, input.reducers));
  if (before === null) return { outcome: { kind: 'unknown' }, next: null };
  if (before.parkedCode !== null && !unparks) {
    return { outcome: { kind: 'parked', code: before.parkedCode }, next: before };
  }
  return decideOne(before, folded, input);
}

function decideOne(held: HeldWorkflow, folded: FoldedEvent, input: FoldInput): FoldStep {
  const { nowMs, reducers } = input;
  try {
    const run = runnable(reducers, held);
    if (run === undefined) return park(held, 'unknown_workflow_version');
    const { schemaVersion, state } = run.workflow;
    const current = { ...held, parkedCode: null, schemaVersion, state };
    return change(current, folded, { reducer: run.reducer, nowMs, told: held });
  } catch (thrown) {
    // A bug in a reducer, or a state that it does not understand: it concerns this workflow alone.
    return park(held, 'internal', thrown);
  }
}

interface Change {
  readonly reducer: Reducer;
  readonly nowMs: EpochMs;
  /** As it was told last. */
  readonly told: Workflow;
}

function change(held: HeldWorkflow, folded: FoldedEvent, options: Change): FoldStep {
  const { nowMs, reducer, told } = options;
  const decision = reducer.decide(held, folded.event, nowMs);
  if (decision.kind === 'ignored') {
    // It is not parked any more, if it was.
    const next = told.status === 'parked' ? { ...held, status: 'running' as const } : null;
    return { outcome: { kind: 'ignored', why: decision.why }, next };
  }
  const { commands, state, status } = decision;
  const next = { ...held, version: held.version + 1, status, state };
  const isNews = held.version === 0 || status !== told.status;
  const entry: JournalEntry = {
    version: next.version,
    event: folded.stored,
    atMs: nowMs,
    commands,
    ...(isNews && isTold(status) ? { told: status } : {}),
  };
  return { outcome: { kind: 'applied', entry }, next };
}

function isTold(status: Workflow['status']): status is JobStatusChanged['status'] {
  return status !== 'parked' && !isTerminal(status);
}

function park(held: HeldWorkflow, code: ErrorCode, thrown?: unknown): FoldStep {
  return {
    outcome: { kind: 'parked', code, ...(thrown === undefined ? {} : { thrown }) },
    next: { ...held, status: 'parked', parkedCode: code },
  };
}

function begin(head: WorkflowHead, reducers: Reducers): HeldWorkflow {
  const kind: WorkflowKind = head.type === 'document' ? 'document' : 'agent';
  return {
    tenant: head.tenant,
    id: head.job_id,
    kind,
    // 0: no reducer knows it, so that a kind which is not here yet is parked.
    schemaVersion: newestReducer(reducers, kind)?.schemaVersion ?? 0,
    version: 0,
    status: 'running',
    parkedCode: null,
    state: null,
    head,
  };
}

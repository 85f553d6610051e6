import { isTerminal, type ErrorCode, type JobStatusChanged } from '@millrace/contracts';

import type { JournalEntry, WorkflowHead } from './journal-entry.ts';
import { endOfParked, mayEnd, parkedTimers } from './parked-run.ts';
import { newestReducer, runnable, spentOf, type Reducers } from './reducers.ts';
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
  | {
      readonly kind: 'applied';
      readonly entry: JournalEntry;
      /** Why no reducer decided it: the run ended as a parked one does. */
      readonly ended?: { readonly code: ErrorCode; readonly thrown?: unknown };
    }
  /** It is in the journal already. */
  | { readonly kind: 'known' }
  | { readonly kind: 'ignored'; readonly why: string }
  /** There is no such workflow, and the event begins none. */
  | { readonly kind: 'unknown' }
  /** It waits beside the workflow for a release that can go on. */
  | {
      readonly kind: 'parked';
      readonly code: ErrorCode;
      readonly thrown?: unknown;
      /** Of a run that is parked as it begins. */
      readonly timers?: readonly { readonly name: string; readonly at: EpochMs }[];
    };

export interface Folded {
  readonly outcomes: readonly FoldedOutcome[];
  /** The workflow after all of it; null when there is none. */
  readonly next: HeldWorkflow | null;
}

/**
 * Decides a batch's events of one workflow in their order. Each one that changes it is a version;
 * what comes after one that nobody here can decide waits with it, also if it is to be tried again.
 */
export function fold(input: FoldInput): Folded {
  const outcomes: FoldedOutcome[] = [];
  const known = new Set(input.known);
  let next = input.held;
  let hasParked = false;
  for (const folded of input.events) {
    const unparks = folded.unparks && !hasParked;
    const step = foldOne(next, { ...folded, unparks }, { ...input, known });
    if (step.next !== null) next = step.next;
    outcomes.push(step.outcome);
    if (step.outcome.kind === 'applied') known.add(folded.event.eventId);
    if (step.outcome.kind === 'parked') hasParked = true;
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
  const { parkedCode, status, version } = before;
  // No reducer is needed for it, nor is one of its version there for ever.
  if (status !== 'parked' && isTerminal(status)) {
    return { outcome: { kind: 'ignored', why: 'the run has ended' }, next: null };
  }
  if (parkedCode === null || unparks) return decideOne(before, folded, input);
  // A reducer that can decide it calls back what is under way; to a timer of a run that has not
  // begun it has nothing to say.
  const isDecided = mayEnd(event) && (version > 0 || event.type === 'cancel_requested');
  return isDecided
    ? decideOne(before, folded, input)
    : endOrPark(before, folded, { ...input, code: parkedCode });
}

function decideOne(held: HeldWorkflow, folded: FoldedEvent, input: FoldInput): FoldStep {
  const { nowMs, reducers } = input;
  try {
    const run = runnable(reducers, held);
    if (run === undefined) return endOrPark(held, folded, { ...input, code: unknownVersion });
    const { schemaVersion, state } = run.workflow;
    const current = { ...held, parkedCode: null, schemaVersion, state };
    return change(current, folded, { reducer: run.reducer, nowMs, told: held });
  } catch (thrown) {
    // A bug in a reducer, or a state that it does not understand: it concerns this workflow alone.
    return endOrPark(held, folded, { ...input, code: 'internal', thrown });
  }
}

const unknownVersion = 'unknown_workflow_version';

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
  const { commands, noted, state, status } = decision;
  const next = { ...held, version: held.version + 1, status, state };
  const isNews = held.version === 0 || status !== told.status;
  const entry: JournalEntry = {
    version: next.version,
    event: folded.stored,
    atMs: nowMs,
    commands,
    schemaVersion: reducer.schemaVersion,
    ...(noted === undefined ? {} : { noted }),
    ...(isNews && isTold(status) ? { told: status } : {}),
  };
  return { outcome: { kind: 'applied', entry }, next };
}

function isTold(status: Workflow['status']): status is JobStatusChanged['status'] {
  return status !== 'parked' && !isTerminal(status);
}

interface Stuck extends FoldInput {
  readonly code: ErrorCode;
  readonly thrown?: unknown;
}

/** What nobody here can decide waits, unless it is what ends a run even so. */
function endOrPark(held: HeldWorkflow, folded: FoldedEvent, stuck: Stuck): FoldStep {
  const { code, nowMs, reducers } = stuck;
  const why = { code, ...(stuck.thrown === undefined ? {} : { thrown: stuck.thrown }) };
  const { head } = held;
  const end = endOfParked(folded.event, { head, code, nowMs, spent: spentOf(reducers, held) });
  if (end === null) {
    const timers = held.version === 0 && held.status !== 'parked' ? parkedTimers(head, nowMs) : [];
    return {
      outcome: { kind: 'parked', ...why, ...(timers.length > 0 ? { timers } : {}) },
      next: { ...held, status: 'parked', parkedCode: code },
    };
  }
  const next = { ...held, version: held.version + 1, status: end.status, parkedCode: null };
  const commands = [{ kind: 'finish', end }] as const;
  const entry = { version: next.version, event: folded.stored, atMs: nowMs, commands };
  return { outcome: { kind: 'applied', entry, ended: why }, next };
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

import { assertNever, documentParamsSchema, jobIdSchema } from '@millrace/contracts';
import type { DocumentSplit, ErrorCode, WorkflowBudgetRaised } from '@millrace/contracts';

import { budgetView, openLedger, raise, spending } from './agent-budget.ts';
import { runnerGraceMs } from './agent-limits.ts';
import { dropJoined, takePartAnswer } from './document-answers.ts';
import { askAboutParts } from './document-calls.ts';
import type { DocumentRun, DocumentState } from './document-state.ts';
import {
  change,
  documentDecision,
  documentStepOf,
  end,
  failDocument,
  reachDocumentLimit,
  splitCallId,
  tellStep,
} from './document-step.ts';
import type { DocumentStep } from './document-step.ts';
import { priceOf } from './prices.ts';
import type { Price } from './prices.ts';
import type {
  Decision,
  EpochMs,
  Outstanding,
  Reducer,
  Workflow,
  WorkflowEvent,
  WorkflowView,
} from './workflow.ts';

/*
 * A document: it is split, each part is answered, and answers are joined as a tree.
 *
 * D1 Each item of the tree has at most one call under way, and one answer that counts.
 * D2 A join is asked for when all that it joins is there; its parts are let go when it is answered.
 * D3 What may be spent is reserved before it is asked for, as with agents.
 * D4 An event that is not waited for changes nothing, and so do all events after the end.
 * D5 Whatever is waited for has an answer or a timer, so that every run ends.
 */

/** Model calls when the budget names no number: parts, their joins, and some that failed. */
const iterationsDefault = 2_000;

/** The document's reducer; the prices are those that a run keeps from its start. */
export function documentReducer(prices: readonly Price[]): Reducer<DocumentState> {
  return {
    kind: 'document',
    schemaVersion: 1,
    decide: (workflow, event, now) =>
      workflow.version === 0
        ? decideFirst(workflow, event, { prices, now })
        : decide(workflow, event, now),
    view,
    outstanding,
  };
}

const cancelled = { code: 'cancelled', detail: 'the job was cancelled' } as const;

function decideFirst(
  workflow: Workflow<DocumentState>,
  event: WorkflowEvent,
  o: { readonly prices: readonly Price[]; readonly now: EpochMs },
): Decision<DocumentState> {
  // The request that comes after it finds the end.
  if (event.type === 'cancel_requested') return endUnbegun('cancelled', cancelled);
  if (event.type !== 'requested') return { kind: 'ignored', why: 'the run has not begun' };
  const run = begin(event, o);
  if ('code' in run) return endUnbegun('failed', run);
  const step = documentStepOf(workflow, run, o.now);
  setTimers(step);
  askForParts(step);
  return documentDecision(step);
}

function askForParts(step: DocumentStep): void {
  const { asked, document } = step.run;
  const params = { ...asked, document };
  step.commands.push(
    { kind: 'split_document', callId: splitCallId(step), params },
    { kind: 'set_timer', name: 'split', at: step.now + runnerGraceMs },
  );
}

/**
 * Nobody has said yet what the parts are: tool-runner is away, or reads it still, or what it said
 * is lost. It is asked again, knows the call, and answers as before if it has ended it.
 */
function askAgainForParts(step: DocumentStep): string | null {
  if (step.run.stage !== 'splitting') return 'no parts are waited for';
  if (step.run.reached !== null) return 'the run waits for a raise';
  askForParts(step);
  return null;
}

interface Unfit {
  readonly code: ErrorCode;
  readonly detail: string;
}

function begin(
  { data }: Extract<WorkflowEvent, { type: 'requested' }>,
  { prices, now }: { readonly prices: readonly Price[]; readonly now: EpochMs },
): DocumentRun | Unfit {
  const parsed = documentParamsSchema.safeParse(data.params);
  const jobId = jobIdSchema.safeParse(data.job_id);
  if (!parsed.success || !jobId.success) {
    const [issue] = parsed.error?.issues ?? [];
    const at = issue?.path.join('.') ?? '';
    const detail = `params.${at}: ${issue?.message ?? 'not as it should be'}`;
    return { code: 'invalid_request', detail };
  }
  const { document, model, ...asked } = parsed.data;
  if (model === undefined) return { code: 'invalid_request', detail: 'params.model is missing' };
  const price = priceOf(prices, model, new Date(now));
  if (data.budget?.usd !== undefined && price === undefined) {
    const detail = `no price is known for ${model}: a budget in dollars cannot be kept`;
    return { code: 'invalid_request', detail };
  }
  return {
    stage: 'splitting',
    jobId: jobId.data,
    startedAt: now,
    ...(data.complete_by === undefined ? {} : { completeBy: data.complete_by }),
    stream: data.stream ?? false,
    document,
    asked: { ...asked, model },
    ...(price === undefined ? {} : { price }),
    ledger: openLedger({ iterations: iterationsDefault, ...data.budget }),
    partsRef: '',
    parts: [],
    nextPart: 0,
    warm: false,
    calls: 0,
    due: [],
    open: [],
    answers: {},
    partsDone: 0,
    standIn: false,
    reached: null,
  };
}

function setTimers(step: DocumentStep): void {
  const { completeBy, ledger, startedAt } = step.run;
  const deadline = startedAt + ledger.limits.seconds * 1_000;
  step.commands.push({ kind: 'set_timer', name: 'deadline', at: deadline });
  if (completeBy === undefined) return;
  step.commands.push({ kind: 'set_timer', name: 'complete_by', at: Date.parse(completeBy) });
}

function endUnbegun(status: 'cancelled' | 'failed', error: Unfit): Decision<DocumentState> {
  const ledger = openLedger();
  const ended = { status, error, spent: spending(ledger), tainted: false, standIn: false };
  return {
    kind: 'changed',
    status,
    state: { stage: 'ended', ledger },
    commands: [{ kind: 'finish', end: ended }],
  };
}

function decide(
  workflow: Workflow<DocumentState>,
  event: WorkflowEvent,
  now: EpochMs,
): Decision<DocumentState> {
  const { state } = workflow;
  if (state.stage === 'ended') return { kind: 'ignored', why: 'the run has ended' };
  const step = documentStepOf(workflow, state, now);
  const refusal = take(step, event);
  if (refusal !== null) return { kind: 'ignored', why: refusal };
  if (step.ended === null && step.run.stage === 'working') {
    dropJoined(step);
    if (step.run.reached !== 'seconds') askAboutParts(step);
  }
  return documentDecision(step);
}

/** @returns why the event changes nothing; null when it was taken. */
function take(step: DocumentStep, event: WorkflowEvent): string | null {
  switch (event.type) {
    case 'requested':
      return 'the run has begun already';
    case 'cancel_requested':
      end(step, { status: 'cancelled', error: cancelled });
      return null;
    case 'document_split':
      return takeParts(step, event.data);
    case 'call_completed':
      return takePartAnswer(step, event);
    case 'budget_raised':
      return takeRaise(step, event.data);
    case 'timer_fired':
      return takeTimer(step, event.name);
    case 'tool_completed':
      return takeSplitFailure(step, event);
    case 'tools_described':
    case 'approval_decided':
    case 'signalled':
    case 'child_finished':
      return 'a document has none of these';
    default:
      return assertNever(event);
  }
}

function takeParts(step: DocumentStep, split: DocumentSplit): string | null {
  const { error, parts, parts_ref: partsRef } = split;
  if (step.run.stage !== 'splitting' || split.call_id !== splitCallId(step)) {
    return 'no parts are waited for';
  }
  step.commands.push({ kind: 'clear_timer', name: 'split' });
  const { document: _document, ...run } = step.run;
  step.run = { ...run, stage: 'working' };
  if (error !== undefined) {
    failDocument(step, error.code, error.detail);
  } else if (parts === undefined || partsRef === undefined || parts.length === 0) {
    failDocument(step, 'empty_document', 'there is no text in it');
  } else {
    change(step, { parts, partsRef });
    tellStep(step, { kind: 'split', parts: parts.length });
  }
  return null;
}

/** tool-runner could not even try. */
function takeSplitFailure(
  step: DocumentStep,
  { data }: Extract<WorkflowEvent, { type: 'tool_completed' }>,
): string | null {
  const { call_id, workflow_id, token, error } = data;
  return error === undefined
    ? 'a document calls no tools'
    : takeParts(step, { call_id, workflow_id, token, error });
}

function takeTimer(step: DocumentStep, name: string): string | null {
  switch (name) {
    case 'deadline': {
      const at = step.run.startedAt + step.run.ledger.limits.seconds * 1_000;
      // It was raised since the timer was set.
      if (step.now < at) step.commands.push({ kind: 'set_timer', name, at });
      else reachDocumentLimit(step, 'seconds');
      return null;
    }
    case 'complete_by': {
      const error = { code: 'deadline_exceeded', detail: 'the job did not end in time' } as const;
      end(step, { status: 'expired', error });
      return null;
    }
    case 'split':
      return askAgainForParts(step);
    default:
      return 'there is no such timer';
  }
}

function takeRaise(step: DocumentStep, { budget }: WorkflowBudgetRaised): string | null {
  const { ledger, startedAt } = step.run;
  const raised = raise(ledger, budget);
  if (raised === ledger) return 'no limit becomes higher by it';
  change(step, { ledger: raised });
  const at = startedAt + raised.limits.seconds * 1_000;
  // Of a time that is over by now there is nothing to wait for: the timer that is set stays.
  if (raised.limits.seconds > ledger.limits.seconds && step.now < at) {
    step.commands.push({ kind: 'set_timer', name: 'deadline', at });
    if (step.run.reached === 'seconds') goOn(step);
  }
  return null;
}

/** There is time again. While it waited, nobody was asked for the parts any more. */
function goOn(step: DocumentStep): void {
  change(step, { reached: null });
  if (step.run.stage === 'splitting') askForParts(step);
}

function view(state: DocumentState): WorkflowView {
  const money = budgetView(state.ledger, 'reached' in state ? state.reached : null);
  return { approvals: [], ...money, signals: [], tainted: true };
}

/** Calls about parts have no timer; being split has one. */
function outstanding(state: DocumentState): readonly Outstanding[] {
  if (state.stage === 'ended') return [];
  return state.open.flatMap(({ askedIn, callId: id }) =>
    askedIn === undefined ? [] : [{ id, version: askedIn }],
  );
}

import type { ErrorCode, JobStep, LimitName } from '@millrace/contracts';

import { account, settle, waitsUntil } from './agent-budget.ts';
import type { DocumentRun, DocumentState } from './document-state.ts';
import type { Command, Decision, EpochMs, Workflow, WorkflowEnd } from './workflow.ts';

/** One decision in the making. */
export interface DocumentStep {
  readonly id: string;
  readonly now: EpochMs;
  /** Of the run once this is decided. */
  readonly version: number;
  run: DocumentRun;
  /** Set once: nothing follows it. */
  ended: WorkflowEnd['status'] | null;
  readonly commands: Command[];
}

export interface DocumentEnding extends Pick<WorkflowEnd, 'status'> {
  readonly result?: string;
  readonly message?: Readonly<Record<string, unknown>>;
  readonly model?: string;
  readonly error?: { readonly code: ErrorCode; readonly detail: string };
}

export function documentStepOf(
  workflow: Pick<Workflow, 'id' | 'version'>,
  run: DocumentRun,
  now: EpochMs,
): DocumentStep {
  const { id, version } = workflow;
  return { id, now, version: version + 1, run, ended: null, commands: [] };
}

export function change(step: DocumentStep, part: Partial<DocumentRun>): void {
  step.run = { ...step.run, ...part };
}

export function tellStep(step: DocumentStep, told: JobStep['step']): void {
  if (step.run.stream) step.commands.push({ kind: 'tell_step', step: told });
}

/** Ends the run at once. Calls under way are called back, and counted at their most. */
export function end(step: DocumentStep, ending: DocumentEnding): void {
  if (step.ended !== null) return;
  const { completeBy, open, standIn, stage } = step.run;
  step.commands.push({ kind: 'clear_timer', name: 'deadline' });
  if (completeBy !== undefined) step.commands.push({ kind: 'clear_timer', name: 'complete_by' });
  if (stage === 'splitting') {
    step.commands.push(
      { kind: 'clear_timer', name: 'split' },
      { kind: 'cancel_tool', callId: splitCallId(step), via: 'runner' },
    );
  }
  for (const { callId, held } of open) {
    step.commands.push({ kind: 'cancel_call', callId, seq: null });
    change(step, { ledger: settle(step.run.ledger, held, held) });
  }
  const spent = account(step.run.ledger);
  step.commands.push({ kind: 'finish', end: { ...ending, ...spent, tainted: true, standIn } });
  step.ended = ending.status;
}

export function failDocument(step: DocumentStep, code: ErrorCode, detail: string): void {
  end(step, { status: 'failed', error: { code, detail } });
}

/** The budget has no room for the next call: the job fails, or waits for a raise. */
export function reachDocumentLimit(step: DocumentStep, limit: LimitName): void {
  const endsAt = waitsUntil(step.run.startedAt);
  if (step.run.ledger.onReached === 'fail' || step.now >= endsAt) {
    const detail = `the limit «${limit}» of the budget leaves no room for the next call`;
    failDocument(step, 'budget_exceeded', detail);
    return;
  }
  if (step.run.reached === limit) return;
  change(step, { reached: limit });
  // Nothing waits for ever.
  if (limit === 'seconds') step.commands.push({ kind: 'set_timer', name: 'deadline', at: endsAt });
  tellStep(step, { kind: 'awaiting_budget', limit });
}

export function splitCallId({ id }: Pick<DocumentStep, 'id'>): string {
  return `${id}/t0`;
}

export function documentDecision(step: DocumentStep): Decision<DocumentState> {
  const { commands, ended, run } = step;
  if (ended !== null) {
    const state = { stage: 'ended', ledger: run.ledger } as const;
    return { kind: 'changed', status: ended, state, commands };
  }
  const waits = run.reached !== null && run.open.length === 0;
  return { kind: 'changed', status: waits ? 'awaiting_budget' : 'running', state: run, commands };
}

import { assertNever } from '@millrace/contracts';
import type { WorkflowBudgetRaised } from '@millrace/contracts';

import { takeAnswer } from './agent-answer.ts';
import { budgetView, raise } from './agent-budget.ts';
import { askModel } from './agent-calls.ts';
import { historyStepsMax } from './agent-limits.ts';
import { reachLimit } from './agent-room.ts';
import { askAgainForTools, begin, beginWork, endUnbegun, takeTools } from './agent-start.ts';
import type { AgentState } from './agent-state.ts';
import { decisionOf, fail, finish, order, stepOf, update } from './agent-step.ts';
import type { AgentStep, Refusal } from './agent-step.ts';
import { approvalsOf, decidedViews, expireApproval, takeApproval } from './approvals.ts';
import { takeChildEnd } from './children.ts';
import type { Price } from './prices.ts';
import { takeSignal } from './signals.ts';
import { giveUpWaiting, startQueued, takeToolResult } from './tool-calls.ts';
import { joinResults } from './use-results.ts';
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
 * An agent: the model is asked, it asks for tools, their results go back, until it has an answer.
 *
 * I1 The model is not asked while one `tool_use` of its last answer lacks a result: `uses` is
 *    emptied only into the message that is due, and a call is made only of that.
 * I2 A call, a tool call and a sub-agent have an id of their own number, which is used once.
 * I3 What may be spent is reserved before it is asked for; open reservations are those of the
 *    open call and of the sub-agents under way, and of nothing else.
 * I4 An event that is not waited for changes nothing, and so do all events after the end.
 * I5 Whatever is waited for has an answer or a timer, so that every run ends.
 */

/** The agent's reducer; the prices are those that a run keeps from its start. */
export function agentReducer(prices: readonly Price[]): Reducer<AgentState> {
  return {
    kind: 'agent',
    schemaVersion: 1,
    decide: (workflow, event, now) =>
      workflow.version === 0
        ? decideFirst(workflow, event, { prices, now })
        : decide(workflow, event, now),
    view,
    outstanding,
  };
}

function decideFirst(
  workflow: Workflow<AgentState>,
  event: WorkflowEvent,
  o: { readonly prices: readonly Price[]; readonly now: EpochMs },
): Decision<AgentState> {
  // The request that comes after it finds the end.
  if (event.type === 'cancel_requested') return endUnbegun('cancelled', cancelled);
  if (event.type !== 'requested') return { kind: 'ignored', why: 'the run has not begun' };
  const beginning = begin(event, o);
  if (!('run' in beginning)) return endUnbegun('failed', beginning);
  const step = stepOf(workflow, beginning.run, o.now);
  beginWork(step);
  goOn(step);
  return decisionOf(step);
}

function decide(
  workflow: Workflow<AgentState>,
  event: WorkflowEvent,
  now: EpochMs,
): Decision<AgentState> {
  const { state } = workflow;
  if (state.stage === 'ended') return { kind: 'ignored', why: 'the run has ended' };
  const step = stepOf(workflow, state, now);
  const refusal = take(step, event);
  if (refusal !== null) return { kind: 'ignored', why: refusal };
  if (workflow.version + 1 < historyStepsMax) goOn(step);
  else fail(step, 'history_too_long', { detail: `the run has ${historyStepsMax} steps` });
  return decisionOf(step);
}

function take(step: AgentStep, event: WorkflowEvent): Refusal {
  switch (event.type) {
    case 'requested':
      return 'the run has begun already';
    case 'cancel_requested':
      finish(step, { status: 'cancelled', error: cancelled });
      return null;
    case 'tools_described':
      return takeTools(step, event.data);
    case 'call_completed':
      return takeAnswer(step, event);
    case 'tool_completed':
      return takeToolResult(step, event.data);
    case 'child_finished':
      return takeChildEnd(step, event.data);
    case 'approval_decided':
      return takeApproval(step, event.data);
    case 'signalled':
      return takeSignal(step, event.data);
    case 'budget_raised':
      return takeRaise(step, event.data);
    case 'timer_fired':
      return takeTimer(step, event.name);
    case 'document_split':
      return 'an agent splits no document';
    default:
      return assertNever(event);
  }
}

/** Does what can be done by now: starts what waits, joins what is there, asks the model. */
function goOn(step: AgentStep): void {
  if (step.ended || step.run.stage === 'describing') return;
  startQueued(step);
  joinResults(step);
  askModel(step);
}

const cancelled = { code: 'cancelled', detail: 'the job was cancelled' } as const;

function takeTimer(step: AgentStep, name: string): Refusal {
  const [kind, ...rest] = name.split(':');
  const of = rest.join(':');
  switch (kind) {
    case 'deadline':
      return reachDeadline(step);
    case 'complete_by':
      return expire(step);
    case 'describe':
      return askAgainForTools(step);
    case 'tool':
      return giveUpWaiting(step, of);
    case 'approval':
      return expireApproval(step, of);
    default:
      return 'there is no such timer';
  }
}

function reachDeadline(step: AgentStep): Refusal {
  const { origin, ledger } = step.run;
  const at = origin.startedAt + ledger.limits.seconds * 1_000;
  // It was raised since the timer was set.
  if (step.now < at) order(step, { kind: 'set_timer', name: 'deadline', at });
  else reachLimit(step, 'seconds');
  return null;
}

function expire(step: AgentStep): Refusal {
  const at = Date.parse(step.run.origin.completeBy ?? '');
  if (Number.isNaN(at)) return 'there is no such timer';
  if (step.now < at) {
    order(step, { kind: 'set_timer', name: 'complete_by', at });
    return null;
  }
  const error = { code: 'deadline_exceeded', detail: 'the job did not end in time' } as const;
  finish(step, { status: 'expired', error });
  return null;
}

/** Someone raised limits: what waited for them goes on. */
function takeRaise(step: AgentStep, { budget }: WorkflowBudgetRaised): Refusal {
  const { ledger, origin } = step.run;
  const raised = raise(ledger, budget);
  if (raised === ledger) return 'no limit becomes higher by it';
  const { seconds } = raised.limits;
  update(step, { ledger: raised });
  const at = origin.startedAt + seconds * 1_000;
  // Of a time that is over by now there is nothing to wait for: the timer that is set stays.
  if (seconds > ledger.limits.seconds && step.now < at) {
    order(step, { kind: 'set_timer', name: 'deadline', at });
    if (step.run.reached === 'seconds') update(step, { reached: null });
  }
  return null;
}

function view(state: AgentState): WorkflowView {
  const { ledger, tainted } = state;
  if (state.stage === 'ended') {
    const approvals = decidedViews(state.decided);
    return { approvals, ...budgetView(ledger, null), signals: [], tainted };
  }
  const signals = state.uses.flatMap(({ progress }) =>
    progress.at === 'signal' ? [progress.name] : [],
  );
  const approvals = approvalsOf(state);
  return { approvals, ...budgetView(ledger, state.reached), signals, tainted };
}

/** The model and sub-agents have no timer: their answer is the only thing that is waited for. */
function outstanding(state: AgentState): readonly Outstanding[] {
  if (state.stage === 'ended') return [];
  const call = state.call === null ? [] : [{ id: state.call.callId, version: state.call.askedIn }];
  const children = state.uses.flatMap(({ progress }) =>
    progress.at === 'child' ? [{ id: progress.childId, version: progress.askedIn }] : [],
  );
  return [...call, ...children].flatMap(({ id, version }) =>
    version === undefined ? [] : [{ id, version }],
  );
}

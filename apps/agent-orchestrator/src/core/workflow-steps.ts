import {
  assertNever,
  workflowStepsBytesMax,
  workflowStepsMax,
  type Attempt,
  type ErrorCode,
  type Usage,
  type WorkflowId,
  type WorkflowStep,
} from '@millrace/contracts';

import type { JournalEntry, StoredCommand } from './journal-entry.ts';
import type { NotedStep, WorkflowEvent } from './workflow.ts';

type Kind = WorkflowStep['kind'];

/** A step as it begins. */
interface OpenStep {
  readonly kind: Kind;
  readonly id: string;
  readonly name?: string;
  readonly begunBy: number;
  readonly atMs: number;
  readonly input?: unknown;
}

interface StepEnd {
  readonly output?: unknown;
  readonly error?: { readonly code: ErrorCode; readonly detail: string };
  readonly isError?: boolean;
  readonly model?: string;
  readonly usage?: Usage;
  readonly costMicros?: number;
  readonly attempts?: number;
  readonly unanswered?: readonly Attempt[];
}

/** What a run did so far, and the sub-agents that it started, so that their steps can follow. */
export interface ToldSteps {
  /** In the order of their beginning. */
  readonly steps: ReadonlyMap<string, WorkflowStep>;
  readonly children: readonly WorkflowId[];
}

const nothingTold: ToldSteps = { steps: new Map(), children: [] };

/**
 * What a workflow did, a page of its journal after the other. What is long is cut with each page:
 * a run's journal may be larger than what may be held.
 */
export function tellSteps(
  workflowId: WorkflowId,
  entries: readonly JournalEntry[],
  before: ToldSteps = nothingTold,
): ToldSteps {
  const told = new Map(before.steps);
  const children = [...before.children];
  for (const entry of entries) {
    const telling = { workflowId, told, entry };
    const happened = happenedIn(entry.event);
    if (happened !== null) end(happened, telling);
    for (const noted of entry.noted ?? []) tellNoted(noted, telling);
    for (const command of entry.commands) {
      if (command.kind === 'start_child') children.push(command.request.job_id);
      const begun = begunBy(command, entry);
      if (begun !== null) begin(begun, telling);
      if (command.kind === 'finish') endOpen(telling);
    }
  }
  const cut = cutLong([...told.values()]);
  const keyed = cut.map((step): [string, WorkflowStep] => [keyOf(step), step]);
  return { steps: new Map(keyed), children };
}

interface Telling {
  readonly workflowId: WorkflowId;
  readonly told: Map<string, WorkflowStep>;
  readonly entry: JournalEntry;
}

/** Its place is that of its beginning. */
function begin(begun: OpenStep, { told, workflowId }: Telling): void {
  if (!told.has(keyOf(begun))) told.set(keyOf(begun), stepOf(workflowId, begun));
}

function end(ended: Ended, { entry, told, workflowId }: Telling): void {
  const key = keyOf(ended);
  const begun = { ...ended, begunBy: entry.version, atMs: entry.atMs };
  const step = told.get(key) ?? stepOf(workflowId, begun);
  const ended_at = new Date(entry.atMs).toISOString();
  told.set(key, { ...step, step: entry.version, ended_at, ...endFields(ended.end) });
}

/** What the reducer says of a step, where neither the event nor a command does. */
function tellNoted(noted: NotedStep, telling: Telling): void {
  const { atMs, version } = telling.entry;
  begin({ ...noted, begunBy: version, atMs }, telling);
  if (noted.end !== undefined) end({ ...noted, end: noted.end }, telling);
}

/** Whatever is under way when a run ends is called back, and never answered. */
function endOpen(telling: Telling): void {
  for (const { ended_at, id, kind } of telling.told.values()) {
    if (ended_at === undefined) end({ kind, id, end: calledBack }, telling);
  }
}

const calledBack: StepEnd = {
  error: { code: 'cancelled', detail: 'the run ended before it did' },
  isError: true,
};

function keyOf({ id, kind }: { readonly kind: Kind; readonly id: string }): string {
  return `${kind} ${id}`;
}

function stepOf(workflowId: WorkflowId, open: OpenStep): WorkflowStep {
  return {
    step: open.begunBy,
    workflow_id: workflowId,
    kind: open.kind,
    id: open.id,
    ...(open.name === undefined ? {} : { name: open.name }),
    at: new Date(open.atMs).toISOString(),
    ...(open.input === undefined ? {} : { input: open.input }),
  };
}

function endFields(how: StepEnd): Partial<WorkflowStep> {
  return {
    ...(how.output === undefined ? {} : { output: how.output }),
    ...(how.error === undefined ? {} : { error: how.error }),
    ...(how.isError === undefined ? {} : { is_error: how.isError }),
    ...(how.model === undefined ? {} : { model: how.model }),
    ...(how.usage === undefined ? {} : { usage: how.usage }),
    ...(how.costMicros === undefined ? {} : { cost_usd: how.costMicros / 1_000_000 }),
    ...(how.attempts === undefined ? {} : { attempts: how.attempts }),
    ...(how.unanswered === undefined ? {} : { unanswered: [...how.unanswered] }),
  };
}

/** What a command begins. */
function begunBy(command: StoredCommand, { atMs, version }: JournalEntry): OpenStep | null {
  const at = { begunBy: version, atMs };
  switch (command.kind) {
    case 'call_claude': {
      const input = command.params?.['messages'] ?? command.paramsRef;
      return { kind: 'model_call', id: command.callId, input, ...at };
    }
    case 'run_tool': {
      const { arguments: input, callId: id, tool: name } = command;
      return { kind: 'tool_call', id, name, input, ...at };
    }
    case 'describe_tools':
      return { kind: 'describe_tools', id: command.callId, input: command.tools, ...at };
    case 'split_document':
      return { kind: 'split', id: command.callId, input: command.params['document'], ...at };
    case 'start_child':
      return { kind: 'child', id: command.request.job_id, ...at };
    case 'tell_step':
      return approvalBegun(command, at);
    case 'cancel_call':
    case 'cancel_tool':
    case 'cancel_child':
    case 'set_timer':
    case 'clear_timer':
    case 'finish':
      return null;
    default:
      return assertNever(command);
  }
}

function approvalBegun(
  { step }: Extract<StoredCommand, { kind: 'tell_step' }>,
  at: Pick<OpenStep, 'begunBy' | 'atMs'>,
): OpenStep | null {
  if (step.kind !== 'approval_requested') return null;
  const { approval_id: id, arguments: input, tool: name } = step;
  return { kind: 'approval', id, name, input, ...at };
}

/** What an event ends or tells; null: nothing that is shown. */
function happenedIn(event: WorkflowEvent): Ended | null {
  switch (event.type) {
    case 'requested':
      return { kind: 'started', id: event.data.job_id, end: {} };
    case 'cancel_requested':
      return { kind: 'cancel_requested', id: event.eventId, end: {} };
    case 'call_completed':
      return { kind: 'model_call', id: event.data.call_id, end: answered(event) };
    case 'tool_completed': {
      const { attempts, call_id: id, error, output } = event.data;
      const end = { output, error, isError: error !== undefined, attempts };
      return { kind: 'tool_call', id, end: defined(end) };
    }
    case 'tools_described': {
      const { call_id: id, missing, tools } = event.data;
      const output = { tools: tools.map(({ name, version }) => ({ name, version })), missing };
      return { kind: 'describe_tools', id, end: { output } };
    }
    case 'document_split': {
      const { call_id: id, error, parts } = event.data;
      return { kind: 'split', id, end: defined({ output: parts?.length, error }) };
    }
    case 'approval_decided': {
      const { approval_id: id, decision, reason } = event.data;
      return { kind: 'approval', id, end: { output: { decision, reason } } };
    }
    case 'signalled': {
      const { data: output, name, signal_id: id } = event.data;
      return { kind: 'signal', id, name, end: { output } };
    }
    case 'budget_raised':
      return { kind: 'budget_raised', id: event.data.raise_id, end: { output: event.data.budget } };
    case 'child_finished': {
      const { child_id: id, error, result: output, spent, status } = event.data;
      const costMicros = spent.usd * 1_000_000;
      const end = { output, error, isError: status !== 'succeeded', costMicros };
      return { kind: 'child', id, end: defined(end) };
    }
    case 'timer_fired':
      // Of what it ends the reducer says it.
      return null;
    default:
      return assertNever(event);
  }
}

type Ended = Pick<OpenStep, 'kind' | 'id' | 'name' | 'input'> & { readonly end: StepEnd };

function answered(event: Extract<WorkflowEvent, { type: 'call_completed' }>): StepEnd {
  const { attempts, error, message, message_ref, model, outcome, usage } = event.data;
  const unanswered = attempts.filter((attempt) => attempt.outcome !== 'succeeded');
  return defined({
    output: message?.['content'] ?? message_ref,
    error,
    isError: outcome !== 'answered',
    model,
    usage,
    costMicros: event.costMicros,
    attempts: attempts.length,
    unanswered: unanswered.length === 0 ? undefined : unanswered,
  });
}

/** Without what is not there. */
function defined(end: { readonly [Key in keyof StepEnd]: StepEnd[Key] | undefined }): StepEnd {
  return Object.fromEntries(Object.entries(end).filter(([, value]) => value !== undefined));
}

/** The first steps that fit into an answer; what is long is cut before steps are left out. */
export function withinLimits(steps: readonly WorkflowStep[]): {
  readonly steps: WorkflowStep[];
  readonly truncated: boolean;
} {
  const shown = cutLong(steps.slice(0, workflowStepsMax));
  return { steps: shown, truncated: steps.length > shown.length };
}

function cutLong(steps: readonly WorkflowStep[]): WorkflowStep[] {
  let bytesLeft = workflowStepsBytesMax;
  return steps.map((step) => {
    const bytes = Buffer.byteLength(JSON.stringify(step));
    const isShown = bytes <= bytesLeft;
    const { input: _input, output: _output, ...bare } = step;
    if (isShown) bytesLeft -= bytes;
    return isShown ? step : { ...bare, cut: true };
  });
}

import { toolDefinitionSchema, workflowRequestedSchema } from '@millrace/contracts';
import type {
  ClaudeCompleted,
  ToolDefinition,
  ToolDescribed,
  WorkflowRequested,
} from '@millrace/contracts';

import { agentReducer } from './agent-reducer.ts';
import type { AgentState } from './agent-state.ts';
import type { JournalEntry } from './journal-entry.ts';
import type { Price } from './prices.ts';
import type { Command, Decision, Reducer, Workflow, WorkflowEvent } from './workflow.ts';

export const prices: readonly Price[] = [
  { model: 'claude-sonnet-5-5', from: '2026-01-01', input: 2, output: 10 },
];

export const startedAt = Date.parse('2026-11-24T12:00:00.000Z');
export const createdAt = '2026-11-24T11:59:59.000Z';

/** An event without its id: the driver gives it one. */
export type Happening = WorkflowEvent extends infer E
  ? E extends WorkflowEvent
    ? Omit<E, 'eventId'>
    : never
  : never;

/** What a spec says of an agent; the rest is filled in. */
export interface Asked {
  readonly id?: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly budget?: WorkflowRequested['budget'];
  readonly request?: Readonly<Record<string, unknown>>;
}

export function requestOf({ id = 'job-1', params = {}, budget, request = {} }: Asked) {
  return workflowRequestedSchema.parse({
    tenant: 'default',
    job_id: id,
    type: 'agent',
    stream: true,
    params: {
      model: 'claude-sonnet-5-5',
      max_tokens: 1_000,
      messages: [{ role: 'user', content: 'Find out.' }],
      ...params,
    },
    ...(budget === undefined ? {} : { budget }),
    reply: { kind: 'job', created_at: createdAt },
    ...request,
  });
}

export function toolNamed(name: string, fields: Partial<ToolDefinition> = {}): ToolDefinition {
  return toolDefinitionSchema.parse({
    name,
    version: 1,
    description: `the tool ${name}`,
    input_schema: { type: 'object', properties: { q: { type: 'string' } } },
    effect: 'read',
    approval: 'auto',
    via: 'runner',
    timeout_seconds: 60,
    retries: 2,
    result_bytes_max: 10_000,
    ...fields,
  });
}

/** One run, driven event by event as the shell would, without its tables and topics. */
export class AgentDriver {
  workflow: Workflow<AgentState>;
  now = startedAt;
  readonly commands: Command[] = [];
  last: Decision<AgentState> | undefined;
  #events = 0;
  #row: string;

  constructor(
    readonly id = 'job-1',
    readonly reducer: Reducer<AgentState> = agentReducer(prices),
  ) {
    const row = { tenant: 'default', id, kind: 'agent', schemaVersion: 1, version: 0 };
    this.#row = JSON.stringify({ ...row, status: 'queued', state: null });
    this.workflow = JSON.parse(this.#row);
  }

  /** Hands one event over, gives back what it orders. States go through JSON, as rows do. */
  happen(event: Happening): readonly Command[] {
    this.#events += 1;
    const whole: WorkflowEvent = { eventId: `e${this.#events}`, ...event };
    const decision = this.reducer.decide(this.workflow, whole, this.now);
    if (JSON.stringify(this.workflow) !== this.#row) throw new Error('changed in place');
    this.last = decision;
    if (decision.kind === 'ignored') return [];
    const { status, state, commands } = decision;
    const version = this.workflow.version + 1;
    const row = { ...this.workflow, status, version, state };
    this.#row = JSON.stringify(row);
    this.workflow = JSON.parse(this.#row);
    this.commands.push(...commands);
    return commands;
  }

  request(asked: Asked = {}, forked?: Extract<WorkflowEvent, { type: 'requested' }>['forked']) {
    const data = requestOf({ id: this.id, ...asked });
    return this.happen({ type: 'requested', data, ...(forked ? { forked } : {}) });
  }

  /** Tells what the run's tools are. */
  describe(tools: readonly ToolDefinition[], missing: ToolDescribed['missing'] = []) {
    const names = { workflow_id: this.id, call_id: `${this.id}/t0`, token: 't' };
    const data = JSON.parse(JSON.stringify({ ...names, tools, missing }));
    return this.happen({ type: 'tools_described', data });
  }

  /** The model's answer to its call number `n`. */
  answer(n: number, message: object, fields: Partial<ClaudeCompleted> = {}) {
    return this.settle(n, { message: JSON.parse(JSON.stringify(message)), ...fields });
  }

  settle(n: number, fields: Partial<ClaudeCompleted>, costMicros = 100) {
    const data = JSON.parse(
      JSON.stringify({
        tenant: 'default',
        workflow_id: this.id,
        created_at: createdAt,
        call_id: `${this.id}/m${n}`,
        outcome: 'answered',
        model: 'claude-sonnet-5-5',
        kept: true,
        usage: { input_tokens: 40, output_tokens: 10 },
        attempts: [],
        finished_at: createdAt,
        ...fields,
      }),
    );
    return this.happen({ type: 'call_completed', data, costMicros });
  }

  toolResult(n: number, gave: { output?: unknown; error?: { code: string; detail: string } }) {
    const names = { workflow_id: this.id, call_id: `${this.id}/t${n}`, token: 't' };
    const data = JSON.parse(JSON.stringify({ ...names, ...gave }));
    return this.happen({ type: 'tool_completed', data });
  }

  timer(name: string, afterMs = 0) {
    this.now += afterMs;
    return this.happen({ type: 'timer_fired', name });
  }

  /** The end, once there is one. */
  end() {
    const finish = this.commands.find((command) => command.kind === 'finish');
    return finish?.kind === 'finish' ? finish.end : undefined;
  }
}

/** A run whose every decision is kept as its journal keeps it. */
export class RecordedRun extends AgentDriver {
  readonly entries: JournalEntry[] = [];

  override happen(event: Happening): readonly Command[] {
    const commands = super.happen(event);
    const { last, now: atMs } = this;
    if (last?.kind !== 'changed') return commands;
    const { version } = this.workflow;
    const noted = last.noted === undefined ? {} : { noted: last.noted };
    const whole: WorkflowEvent = { eventId: `e${version}`, ...event };
    this.entries.push({ version, atMs, event: whole, commands, schemaVersion: 1, ...noted });
    return commands;
  }
}

export function text(words: string, stopReason = 'end_turn') {
  return { role: 'assistant', content: [{ type: 'text', text: words }], stop_reason: stopReason };
}

/** An answer that asks for tools. Their ids are `u1`, `u2` and so on. */
export function asks(...uses: readonly (readonly [name: string, input: unknown])[]) {
  const content = uses.map(([name, input], at) => {
    return { type: 'tool_use', id: `u${at + 1}`, name, input };
  });
  return { role: 'assistant', content, stop_reason: 'tool_use' };
}

/** Commands of one kind. */
export function of<K extends Command['kind']>(kind: K, commands: readonly Command[]) {
  return commands.filter((one): one is Extract<Command, { kind: K }> => one.kind === kind);
}

/** The messages that the only model call among the commands carries. */
export function sent(commands: readonly Command[]): unknown {
  return of('call_claude', commands)[0]?.params?.['messages'];
}

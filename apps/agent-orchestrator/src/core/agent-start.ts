import {
  agentParamsSchema,
  agentToolsMax,
  callIdSchema,
  jobIdSchema,
  toolServerSeparator,
} from '@millrace/contracts';
import type {
  AgentParams,
  ErrorCode,
  ToolDescribed,
  WorkflowRequested,
} from '@millrace/contracts';

import { openLedger, spending } from './agent-budget.ts';
import { agentBytesMax, runnerGraceMs } from './agent-limits.ts';
import type { Agent, AgentRun, AgentState, EndedRun, Origin } from './agent-state.ts';
import { fail, order, update } from './agent-step.ts';
import type { AgentStep, Refusal } from './agent-step.ts';
import { nameTwice } from './built-in-tools.ts';
import { jsonBytes } from './canonical-json.ts';
import { forkOf, sourceOf, withoutThinking, withText } from './forks.ts';
import { priceOf } from './prices.ts';
import type { Price } from './prices.ts';
import type { Decision, EpochMs, ForkedRun, WorkflowEvent } from './workflow.ts';

/** How an agent begins, or why it cannot. */
export type Beginning =
  | { readonly run: AgentRun }
  | { readonly code: ErrorCode; readonly detail: string };

export interface BeginOptions {
  readonly prices: readonly Price[];
  readonly now: EpochMs;
}

/** The run that a request asks for, before its first step. */
export function begin(
  event: Extract<WorkflowEvent, { type: 'requested' }>,
  o: BeginOptions,
): Beginning {
  const { data, forked, unforkable } = event;
  // Without its source nothing would hold it back from changing things outside.
  if (data.fork && !forked) {
    return unforkable ?? { code: 'gone', detail: 'the run to be forked is not kept' };
  }
  const parsed = agentParamsSchema.safeParse(data.params);
  if (!parsed.success) return invalid(parsed.error.issues[0]);
  const origin = originOf(data, o.now);
  const agent = agentOf(parsed.data, o);
  if (!origin || !agent) {
    return { code: 'invalid_request', detail: 'params: model or max_tokens is missing' };
  }
  const unfit = unfitness(agent, data);
  return unfit ?? { run: firstRun({ data, forked, origin, agent, params: parsed.data }) };
}

/** The first thing that a run does: it asks what its tools are, and else the model. */
export function beginWork(step: AgentStep): void {
  const { origin, ledger, stage } = step.run;
  const deadline = origin.startedAt + ledger.limits.seconds * 1_000;
  order(step, { kind: 'set_timer', name: 'deadline', at: deadline });
  if (origin.completeBy !== undefined) {
    order(step, { kind: 'set_timer', name: 'complete_by', at: Date.parse(origin.completeBy) });
  }
  if (stage === 'describing') {
    askForTools(step);
  } else {
    refuseTwice(step);
  }
}

/**
 * Nobody has said yet what the tools are: tool-runner is away, or what it said is lost. It is asked
 * again, and answers as before, until the run's time is over.
 */
export function askAgainForTools(step: AgentStep): Refusal {
  if (step.run.stage !== 'describing') return 'no tools are asked for';
  askForTools(step);
  return null;
}

function askForTools(step: AgentStep): void {
  const tools = step.run.agent.toolNames;
  order(
    step,
    { kind: 'describe_tools', callId: `${step.id}/t0`, tools },
    { kind: 'set_timer', name: 'describe', at: step.now + runnerGraceMs },
  );
}

/** What the tools are that the agent names. It keeps them as they are now. */
export function takeTools(step: AgentStep, data: ToolDescribed): Refusal {
  const { run } = step;
  if (run.stage !== 'describing' || data.call_id !== callIdSchema.parse(`${step.id}/t0`)) {
    return 'no tools are asked for';
  }
  order(step, { kind: 'clear_timer', name: 'describe' });
  const agent = { ...run.agent, tools: data.tools };
  update(step, { stage: 'working', agent, tainted: run.tainted || describedByOthers(agent) });
  const missing = data.missing.map(({ name, detail }) => `${name} (${detail.slice(0, 200)})`);
  if (missing.length > 0) {
    const names = missing.slice(0, 10).join(', ');
    const unasked = data.missing.every(({ code }) => code !== undefined) && data.missing[0]?.code;
    if (unasked) fail(step, unasked, { detail: `an MCP server cannot be asked: ${names}` });
    else fail(step, 'unknown_tool', { detail: `there is no tool ${names}` });
  } else if (data.tools.length > agentToolsMax) {
    const detail = `${data.tools.length} tools; an agent may have ${agentToolsMax}`;
    fail(step, 'limit_reached', { detail });
  } else if (jsonBytes(agent) > agentBytesMax) {
    fail(step, 'payload_too_large', { detail: tooLarge });
  } else {
    refuseTwice(step);
  }
  return null;
}

/** The end of a run that never was one: cancelled before it began, or asked for badly. */
export function endUnbegun(
  status: 'cancelled' | 'failed',
  error: { readonly code: ErrorCode; readonly detail: string },
): Decision<AgentState> {
  const ledger = openLedger();
  const state: EndedRun = { stage: 'ended', agent: null, ledger, decided: [], tainted: false };
  const spent = spending(ledger);
  const end = { status, error, spent, tainted: false, standIn: false };
  return { kind: 'changed', status, state, commands: [{ kind: 'finish', end }] };
}

const tooLarge = `system prompt, tools and schemas may have ${agentBytesMax} bytes together`;

function originOf(data: WorkflowRequested, now: EpochMs): Origin | null {
  const { reply } = data;
  const jobId = jobIdSchema.safeParse(reply.kind === 'child' ? reply.job_id : data.job_id);
  if (!jobId.success) return null;
  return {
    tenant: data.tenant,
    jobId: jobId.data,
    createdAt: reply.created_at,
    startedAt: now,
    depth: data.depth ?? 0,
    stream: data.stream ?? false,
    ...(data.lane === undefined ? {} : { lane: data.lane }),
    ...(data.complete_by === undefined ? {} : { completeBy: data.complete_by }),
  };
}

function agentOf(given: AgentParams, { prices, now }: BeginOptions): Agent | null {
  const { model, max_tokens, tools, agents, signals, output_schema, ...rest } = given;
  const { messages: _messages, untrusted: _untrusted, ...params } = rest;
  if (model === undefined || max_tokens === undefined) return null;
  const price = priceOf(prices, model, new Date(now));
  return {
    params,
    model,
    maxTokens: max_tokens,
    toolNames: tools ?? [],
    tools: [],
    agents: agents ?? [],
    signals: signals ?? [],
    ...(output_schema === undefined ? {} : { outputSchema: output_schema }),
    ...(price === undefined ? {} : { price }),
  };
}

/** What can be said against an agent before it begins. */
function unfitness(agent: Agent, { budget }: WorkflowRequested): Beginning | undefined {
  if (jsonBytes(agent) > agentBytesMax) return { code: 'payload_too_large', detail: tooLarge };
  if (budget?.usd === undefined || agent.price) return undefined;
  const detail = `no price is known for ${agent.model}: a budget in dollars cannot be kept`;
  return { code: 'invalid_request', detail };
}

function firstRun(o: {
  readonly data: WorkflowRequested;
  readonly forked: ForkedRun | undefined;
  readonly origin: Origin;
  readonly agent: Agent;
  readonly params: AgentParams;
}): AgentRun {
  const { data, forked, origin, params } = o;
  const source = forked ? sourceOf(forked) : null;
  const agent = withTools(o.agent, source?.agent ?? null);
  const described = agent.toolNames.length === 0 || agent.tools.length > 0;
  const taken = withoutThinking(forked?.messages ?? []);
  const said = taken.length > 0 ? taken : params.messages;
  const more = data.fork?.prompt;
  return {
    stage: described ? 'working' : 'describing',
    origin,
    agent,
    ledger: openLedger(data.budget),
    counts: { calls: 0, uses: 0, children: 0, pauses: 0, truncations: 0, finalAnswerAsks: 0 },
    call: null,
    due: { messages: more === undefined ? said : withText(said, more) },
    conversationTokens: 0,
    uses: [],
    signals: [],
    signalIds: [],
    decided: [],
    tainted:
      describedByOthers(agent) ||
      [source?.tainted, data.tainted, params.untrusted].includes(true),
    standIn: false,
    reached: null,
    fork: forked ? forkOf(forked, data.fork?.allow_side_effects ?? false) : null,
  };
}

/** A fork with the tools of its source has them as its source had them. */
function withTools(agent: Agent, source: Pick<Agent, 'toolNames' | 'tools'> | null): Agent {
  const same = source !== null && source.toolNames.join() === agent.toolNames.join();
  return same ? { ...agent, tools: source.tools } : agent;
}

/**
 * What an MCP server says of its tools is in the prompt from the first call on, and it may say
 * something else tomorrow: the tenant chose the server, not its words.
 */
function describedByOthers({ tools }: Pick<Agent, 'tools'>): boolean {
  return tools.some(({ name }) => name.includes(toolServerSeparator));
}

function refuseTwice(step: AgentStep): void {
  const name = nameTwice(step.run.agent);
  if (name === undefined) return;
  fail(step, 'invalid_request', { detail: `two of the agent's tools have the name ${name}` });
}

function invalid(issue: { readonly path: PropertyKey[]; readonly message: string } | undefined) {
  const at = (issue?.path ?? []).map(String).join('.');
  const detail = `params${at === '' ? '' : `.${at}`}: ${issue?.message ?? 'not as they should be'}`;
  return { code: 'invalid_request' as const, detail };
}

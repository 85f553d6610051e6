import {
  assertNever,
  defaultTenant,
  jobDayOf,
  jobIdSchema,
  tenantIdSchema,
  topicOfTenant,
  topics,
  type ChildReply,
  type ClaudeRequested,
  type JobFinished,
  type JobId,
  type JobProgressed,
  type JobReply,
  type JobStep,
  type Topic,
  type ToolRequested,
  type ToolRunRequested,
  type WorkflowCancelRequested,
  type WorkflowChildFinished,
} from '@millrace/contracts';

import type { Answer, StoredCommand, StoredEnd, WorkflowHead } from './journal-entry.ts';
import type { ToolTokens } from './tool-token.ts';

/** An event to be published, before it has headers. The same answer makes the same events. */
export interface OutgoingEvent {
  readonly topic: Topic;
  readonly type: string;
  readonly id: string;
  readonly key: string;
  readonly data: object;
}

export interface Told {
  readonly head: WorkflowHead;
  readonly answer: Answer;
  readonly tokens: ToolTokens;
}

type CommandOf<Kind extends StoredCommand['kind']> = Extract<StoredCommand, { kind: Kind }>;

/** The job that users know. */
export function jobIdOf({ job_id, reply }: WorkflowHead): JobId {
  // A workflow that answers a job is named as the job is.
  return reply.kind === 'child' ? reply.job_id : jobIdSchema.parse(job_id);
}

/** All that an answer is published as, in the order of its commands. */
export function outgoingEvents(told: Told): OutgoingEvent[] {
  const events = told.answer.commands.flatMap((command, index) => eventsOf(command, index, told));
  const status = statusEvent(told);
  return status === null ? events : [...events, status];
}

function eventsOf(command: StoredCommand, index: number, told: Told): OutgoingEvent[] {
  switch (command.kind) {
    case 'call_claude':
      return [claudeRequest(command, told)];
    case 'cancel_call':
      return [claudeCancel(command, told)];
    case 'run_tool':
      return [command.via === 'runner' ? toolRun(command, told) : toolRequest(command, told)];
    case 'cancel_tool':
      return toolCancel(command, told);
    case 'describe_tools':
      return [describe(command, told)];
    case 'split_document':
      return [split(command, told)];
    case 'start_child':
      return [childStart(command)];
    case 'cancel_child':
      return [childCancel(command, told)];
    case 'set_timer':
    case 'clear_timer':
      return [];
    case 'tell_step':
      return stepTold(command, index, told);
    case 'finish':
      return [finished(command.end, told)];
    default:
      return assertNever(command);
  }
}

function workflowKey({ job_id, tenant }: WorkflowHead): string {
  return `${tenant}/${job_id}`;
}

function replyOf(head: WorkflowHead, turn: number | null): ClaudeRequested['reply'] {
  return {
    kind: 'workflow',
    workflow_id: head.job_id,
    job_id: jobIdOf(head),
    turn: turn ?? 1,
    created_at: head.reply.created_at,
  };
}

function placeOf(head: WorkflowHead, seq: number | null) {
  return seq === null ? {} : { session_id: `${head.job_id}/s`, session_seq: seq };
}

function claudeRequest(command: CommandOf<'call_claude'>, { head }: Told): OutgoingEvent {
  const { callId, params, paramsRef, seq, turn } = command;
  return {
    topic: topics.claudeRequested,
    type: 'millrace.claude.requested.v1',
    id: `${head.tenant}:${callId}:requested`,
    key: workflowKey(head),
    data: {
      tenant: head.tenant,
      call_id: callId,
      lane: head.lane ?? 'standard',
      ...placeOf(head, seq),
      stream: head.stream === true && turn !== null,
      ...(paramsRef === undefined ? { params } : { params_ref: paramsRef }),
      ...(head.complete_by === undefined ? {} : { complete_by: head.complete_by }),
      reply: replyOf(head, turn),
    },
  };
}

function claudeCancel(command: CommandOf<'cancel_call'>, { head }: Told): OutgoingEvent {
  const { callId, seq } = command;
  return {
    topic: topics.claudeRequested,
    type: 'millrace.claude.cancel-requested.v1',
    id: `${head.tenant}:${callId}:cancel-requested`,
    key: workflowKey(head),
    data: {
      tenant: head.tenant,
      call_id: callId,
      ...placeOf(head, seq),
      reply: replyOf(head, null),
    },
  };
}

interface ToolEventOptions {
  readonly told: Told;
  readonly more: object;
}

/** An event for tool-runner: it retries by itself, so there is one asking of each call. */
function toolEvent(what: string, callId: string, { told, more }: ToolEventOptions): OutgoingEvent {
  const { head } = told;
  const type = what === 'split-requested' ? 'document' : 'tool';
  return {
    topic: topics.toolsRun,
    type: `millrace.${type}.${what}.v1`,
    id: `${head.tenant}:${callId}:${what}`,
    key: workflowKey(head),
    data: {
      tenant: head.tenant,
      workflow_id: head.job_id,
      created_at: head.reply.created_at,
      call_id: callId,
      token: tokenOf(told, callId, 1),
      ...more,
    },
  };
}

function tokenOf({ head, tokens }: Told, callId: string, attempt: number): string {
  const day = jobDayOf(head.reply.created_at);
  return tokens.make({ tenant: head.tenant, day, workflowId: head.job_id, callId, attempt });
}

function toolRun(command: CommandOf<'run_tool'>, told: Told): OutgoingEvent {
  const more: Partial<Record<keyof ToolRunRequested, unknown>> = {
    job_id: jobIdOf(told.head),
    tool: command.tool,
    tool_version: command.toolVersion,
    arguments: command.arguments,
    complete_by: new Date(command.deadline).toISOString(),
  };
  return toolEvent('run-requested', command.callId, { told, more });
}

/** tool-runner knows nothing of a worker's calls, and would answer in its name. */
function toolCancel({ callId, via }: CommandOf<'cancel_tool'>, told: Told): OutgoingEvent[] {
  return via === 'runner' ? [toolEvent('cancel-requested', callId, { told, more: {} })] : [];
}

function toolRequest(command: CommandOf<'run_tool'>, told: Told): OutgoingEvent {
  const { attempt, callId } = command;
  const { head } = told;
  const data: Record<keyof ToolRequested, unknown> = {
    job_id: jobIdOf(head),
    workflow_id: head.job_id,
    call_id: callId,
    token: tokenOf(told, callId, attempt),
    tool: command.tool,
    tool_version: command.toolVersion,
    arguments: command.arguments,
    attempt,
    deadline: new Date(command.deadline).toISOString(),
  };
  return {
    ...toolPlaceOf(head.tenant),
    type: 'millrace.tool.requested.v1',
    id: `${head.tenant}:${callId}:${attempt}:requested`,
    key: head.job_id,
    data,
  };
}

/** Where a tenant's own workers read what they are asked. */
function toolPlaceOf(tenant: string): Pick<OutgoingEvent, 'topic'> {
  if (tenant === defaultTenant) return { topic: topics.toolsRequested };
  const each = { topic: topics.tenantToolsRequested };
  return { topic: topicOfTenant(each.topic, tenantIdSchema.parse(tenant)) };
}

function describe(command: CommandOf<'describe_tools'>, told: Told): OutgoingEvent {
  const more = { job_id: jobIdOf(told.head), tools: command.tools };
  return toolEvent('describe-requested', command.callId, { told, more });
}

function split(command: CommandOf<'split_document'>, told: Told): OutgoingEvent {
  const { complete_by } = told.head;
  const more = {
    job_id: jobIdOf(told.head),
    params: command.params,
    ...(complete_by === undefined ? {} : { complete_by }),
  };
  return toolEvent('split-requested', command.callId, { told, more });
}

function childStart({ request }: CommandOf<'start_child'>): OutgoingEvent {
  return {
    topic: topics.workflowsRequested,
    type: 'millrace.workflow.requested.v1',
    id: `${request.tenant}:${request.job_id}:requested`,
    key: `${request.tenant}/${request.job_id}`,
    data: request,
  };
}

function childCancel({ childId }: CommandOf<'cancel_child'>, { head }: Told): OutgoingEvent {
  const reply = {
    kind: 'child' as const,
    workflow_id: head.job_id,
    // Its start, which says which call it answers, lies before this on the same key.
    call_id: childId,
    job_id: jobIdOf(head),
    created_at: head.reply.created_at,
  };
  const data: Record<keyof WorkflowCancelRequested, unknown> = {
    tenant: head.tenant,
    job_id: childId,
    type: 'agent',
    reply,
  };
  return {
    topic: topics.workflowsRequested,
    type: 'millrace.workflow.cancel-requested.v1',
    id: `${head.tenant}:${childId}:cancel-requested`,
    key: `${head.tenant}/${childId}`,
    data,
  };
}

function stepTold(
  { step }: CommandOf<'tell_step'>,
  index: number,
  { answer, head }: Told,
): OutgoingEvent[] {
  if (head.stream !== true) return [];
  const { atMs, version } = answer;
  const job_id = jobIdOf(head);
  const data: JobStep = {
    tenant: head.tenant,
    job_id,
    workflow_id: head.job_id,
    version,
    index,
    at: new Date(atMs).toISOString(),
    step,
  };
  return [
    {
      topic: topics.claudeDeltas,
      type: 'millrace.job.step.v1',
      id: `${head.tenant}:${head.job_id}:${version}:${index}:step`,
      key: `${head.tenant}/${job_id}`,
      data,
    },
  ];
}

/** A sub-agent's status is its parent's affair; the job shows its own. */
function statusEvent({ answer, head }: Told): OutgoingEvent | null {
  if (answer.told === undefined || head.reply.kind === 'child') return null;
  const job_id = jobIdOf(head);
  const data: JobProgressed = {
    kind: 'status',
    tenant: head.tenant,
    job_id,
    created_at: head.reply.created_at,
    status: answer.told,
    version: answer.version,
    at: new Date(answer.atMs).toISOString(),
  };
  return {
    topic: topics.jobsProgressed,
    type: 'millrace.job.progressed.v1',
    id: `${head.tenant}:${job_id}:${answer.version}:status`,
    key: job_id,
    data,
  };
}

function finished(end: StoredEnd, told: Told): OutgoingEvent {
  const { reply } = told.head;
  return reply.kind === 'child'
    ? childFinished(end, reply, told)
    : jobFinished(end, reply, told);
}

function childFinished(end: StoredEnd, reply: ChildReply, { head }: Told): OutgoingEvent {
  const data: WorkflowChildFinished = {
    tenant: head.tenant,
    workflow_id: reply.workflow_id,
    created_at: reply.created_at,
    child_id: head.job_id,
    call_id: reply.call_id,
    status: end.status,
    ...(end.result === undefined ? {} : { result: end.result }),
    ...(end.error === undefined ? {} : { error: end.error }),
    spent: end.spent,
    ...(end.usage === undefined ? {} : { usage: end.usage }),
    tainted: end.tainted,
  };
  return {
    topic: topics.workflowsRequested,
    type: 'millrace.workflow.child-finished.v1',
    id: `${head.tenant}:${head.job_id}:finished`,
    key: `${head.tenant}/${reply.workflow_id}`,
    data,
  };
}

function jobFinished(end: StoredEnd, reply: JobReply, { answer, head }: Told): OutgoingEvent {
  const job_id = jobIdOf(head);
  const data: JobFinished = {
    tenant: head.tenant,
    job_id,
    type: head.type,
    status: end.status,
    ...(head.session_id === undefined ? {} : { session_id: head.session_id }),
    ...(end.model === undefined ? {} : { model: end.model }),
    ...(end.result === undefined ? {} : { result: end.result }),
    ...(end.messageRef === undefined ? inline(end) : { message_ref: end.messageRef }),
    ...(end.error === undefined ? {} : { error: end.error }),
    ...(end.usage === undefined ? {} : { usage: end.usage }),
    attempts: [],
    ...(end.standIn ? { stand_in: true } : {}),
    spent: end.spent,
    ...(reply.callback === undefined ? {} : { callback: reply.callback }),
    ...(reply.metadata === undefined ? {} : { metadata: reply.metadata }),
    ...(reply.redrive_of === undefined ? {} : { redrive_of: reply.redrive_of }),
    created_at: reply.created_at,
    finished_at: new Date(answer.atMs).toISOString(),
  };
  return {
    topic: topics.jobsFinished,
    type: `millrace.job.${end.status}.v1`,
    id: `${head.tenant}:${job_id}:finished`,
    key: job_id,
    data,
  };
}

function inline({ message }: StoredEnd): Pick<JobFinished, 'message'> {
  return message === undefined ? {} : { message: { ...message } };
}

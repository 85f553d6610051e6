import type { Timeline, ToolSubmission } from '@millrace/contracts';

import { request, stack, submit, uniqueId, until, type ShownJob } from './running-stack.ts';

/** A job of an agent, as far as the stories look at it. */
export interface ShownAgent extends ShownJob {
  readonly usage?: { readonly input_tokens: number; readonly output_tokens: number };
  readonly spent?: {
    readonly usd: number;
    readonly tokens: number;
    readonly iterations: number;
    readonly tool_calls: number;
  };
}

export interface ShownApproval {
  readonly id: string;
  readonly tool: string;
  readonly hash: string;
  readonly status: string;
  readonly arguments?: unknown;
}

export interface AskedAgent {
  /** What the stand-in plays, see `tools/stand-in/script.mjs`. */
  readonly script: string;
  readonly params?: object;
  readonly job?: object;
  /** Of another tenant than `default`. */
  readonly key?: string;
}

/** What is asked for with a tenant's own key, or that of `default`. */
export async function bodyOf<T>(path: string, init: RequestInit & { key?: string } = {}) {
  const { key = stack.apiKey, ...rest } = init;
  const response = await request(path, { ...rest, headers: { authorization: `Bearer ${key}` } });
  const text = await response.text();
  if (!response.ok) throw new Error(`${path}: ${response.status}: ${text}`);
  const body: T = JSON.parse(text);
  return body;
}

/** Registers a tool; tool-runner may be a moment later than ingest. */
export async function register(
  name: string,
  tool: Partial<ToolSubmission>,
  key = stack.apiKey,
): Promise<void> {
  const input_schema = { type: 'object' };
  const body = JSON.stringify({ description: `the tool ${name}`, input_schema, ...tool });
  await until(`the tool ${name}`, 30_000, async () => {
    const headers = { authorization: `Bearer ${key}` };
    return (await request(`/v1/tools/${name}`, { method: 'PUT', headers, body })).ok;
  });
}

export function startAgent({ job, key = stack.apiKey, params, script }: AskedAgent) {
  const content = `${uniqueId('agent')} ${script}`;
  const messages = [{ role: 'user', content }];
  const asked = { model: 'claude-sonnet-5-5', max_tokens: 1_000, messages, ...params };
  const authorization = `Bearer ${key}`;
  return submit({ type: 'agent', params: asked, ...job }, { authorization });
}

interface Waiting {
  readonly timeoutMs?: number;
  readonly key?: string;
}

const terminal = ['succeeded', 'failed', 'cancelled', 'expired'];

export function endOfAgent(id: string, waiting: Waiting = {}): Promise<ShownAgent> {
  return jobThat(`the end of ${id}`, { id, is: (status) => terminal.includes(status), ...waiting });
}

/** Waits until a job says that it waits for this. */
export function statusOf(id: string, wanted: string): Promise<ShownAgent> {
  return jobThat(`${id} to be ${wanted}`, { id, is: (status) => status === wanted });
}

function jobThat(
  what: string,
  o: Waiting & { readonly id: string; readonly is: (status: string) => boolean },
): Promise<ShownAgent> {
  const { id, is, key = stack.apiKey, timeoutMs = 60_000 } = o;
  return until(what, timeoutMs, async () => {
    // A service may be away for a moment.
    const job = await bodyOf<ShownAgent>(`/v1/jobs/${id}`, { key }).catch(() => undefined);
    return job !== undefined && is(job.status) && job;
  });
}

export async function approvalsOf(id: string): Promise<ShownApproval[]> {
  const { data } = await bodyOf<{ data: ShownApproval[] }>(`/v1/jobs/${id}/approvals`);
  return data;
}

export function decide(
  id: string,
  approval: ShownApproval,
  decision: { readonly decision: 'approve' | 'reject'; readonly reason?: string },
): Promise<ShownJob> {
  const body = JSON.stringify({ ...decision, hash: approval.hash });
  return bodyOf(`/v1/jobs/${id}/approvals/${approval.id}`, { method: 'POST', body });
}

/** What a run did, as its timeline tells it. */
export type ShownStep = Extract<Timeline['events'][number], { step: number }>;

/** What a timeline tells of one kind, in its order. */
export async function stepsOf(id: string, kind: ShownStep['kind']): Promise<ShownStep[]> {
  const { events } = await bodyOf<Timeline>(`/v1/jobs/${id}/timeline`);
  return events.filter((event): event is ShownStep => event.kind === kind);
}

/** The conversations that the model was shown with this in them, oldest first. */
export async function conversationsWith(mark: string): Promise<string[]> {
  const response = await fetch(`${stack.claudeUrl}/stand-in/requests`);
  const entries: { body?: { messages?: unknown } }[] = JSON.parse(await response.text());
  return entries
    .map(({ body }) => JSON.stringify(body?.messages ?? ''))
    .filter((text) => text.includes(mark));
}

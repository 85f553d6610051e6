import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';

import { unexplained } from '../chaos/agent-checks.ts';
import type { Kill } from '../chaos/agent-history.ts';
import { ToolServer } from './receivers/tool-server.ts';
import {
  consume,
  ended,
  findJob,
  pidOf,
  readyReplicas,
  request,
  submit,
  uniqueId,
  until,
  type ConsumedRecord,
  type ShownJob,
} from './running-stack.ts';

jest.setTimeout(240_000);

/** Agents that are under way while a service is killed. */
const agentsPerKill = 12;
const victims = [
  'agent-orchestrator-1',
  'tool-runner-1',
  'tool-runner-2',
  'claude-worker-1',
  'ingest-1',
  'agent-orchestrator-2',
  'kafka',
  'postgres',
] as const;

interface ShownAgent extends ShownJob {
  readonly spent?: { readonly iterations: number; readonly tool_calls: number };
}

let tools: ToolServer;
let finished: { records: ConsumedRecord[]; stop: () => Promise<void> };

beforeAll(async () => {
  tools = await ToolServer.listen();
  finished = await consume('jobs.finished.v1');
  await register('look', { effect: 'read', approval: 'never', url: tools.url('/look') });
  await register('change', { effect: 'write', approval: 'always', url: tools.url('/change') });
  await register('work', { effect: 'write', approval: 'never', url: tools.url('/works') });
  await register('hang', { effect: 'read', approval: 'never', url: tools.url('/hangs') });
});

afterAll(async () => {
  await finished?.stop();
  await tools?.close();
});

async function register(
  name: string,
  { url, ...rules }: { url: string; effect: string; approval: string },
): Promise<void> {
  const body = JSON.stringify({
    description: `the tool ${name}`,
    input_schema: { type: 'object' },
    target: { kind: 'http', url },
    timeout_seconds: 30,
    ...rules,
  });
  // tool-runner may be a moment later than ingest.
  await until(`the tool ${name}`, 30_000, async () => {
    const response = await request(`/v1/tools/${name}`, { method: 'PUT', body });
    return response.ok;
  });
}

function agent(script: string, names: readonly string[]): Promise<ShownAgent> {
  return submit({
    type: 'agent',
    params: {
      model: 'claude-sonnet-5-5',
      max_tokens: 1_000,
      tools: names,
      messages: [{ role: 'user', content: `${uniqueId('agent')} ${script}` }],
    },
  });
}

async function endOf(id: string, timeoutMs = 60_000): Promise<ShownAgent> {
  return ended(id, timeoutMs);
}

async function bodyOf<T>(path: string, init?: RequestInit): Promise<T> {
  const response = await request(path, init);
  return JSON.parse(await response.text());
}

describe('an agent', () => {
  it('asks for tools, several at once, and answers with what they said', async () => {
    const { id } = await agent(
      '[[tool:look {"at":1} && look {"at":2}]] [[tool:look {"at":3}]]',
      ['look'],
    );
    const job = await endOf(id);
    expect(job).toMatchObject({
      status: 'succeeded',
      stand_in: true,
      spent: { iterations: 3, tool_calls: 3 },
      usage: { output_tokens: expect.any(Number) },
    });
    expect(job.result).toContain('saw');
    const calls = tools.of(id);
    expect(calls.map(({ arguments: given }) => given)).toEqual(
      expect.arrayContaining([{ at: 1 }, { at: 2 }, { at: 3 }]),
    );
    expect(new Set(calls.map(({ idempotencyKey }) => idempotencyKey)).size).toBe(3);
  });

  it('waits for a person before it changes anything, and goes on when one agrees', async () => {
    const { id } = await agent('[[tool:change {"to":"b"}]]', ['change']);
    await until('the question', 30_000, async () => {
      return (await findJob(id))?.status === 'awaiting_approval';
    });
    expect(tools.of(id)).toEqual([]);
    const { data } = await bodyOf<{ data: { id: string; hash: string; arguments: unknown }[] }>(
      `/v1/jobs/${id}/approvals`,
    );
    expect(data).toEqual([expect.objectContaining({ tool: 'change', arguments: { to: 'b' } })]);
    const approval = data[0]!;
    const decide = () =>
      request(`/v1/jobs/${id}/approvals/${approval.id}`, {
        method: 'POST',
        body: JSON.stringify({ decision: 'approve', hash: approval.hash }),
      });
    expect((await decide()).status).toBe(202);
    expect(await endOf(id)).toMatchObject({ status: 'succeeded' });
    expect(tools.of(id)).toHaveLength(1);
  });

  it('is cancelled while a tool hangs, and ends once', async () => {
    const { id } = await agent('[[tool:hang {}]]', ['hang']);
    await until('the call', 30_000, () => tools.of(id).length > 0);
    await request(`/v1/jobs/${id}/cancel`, { method: 'POST' });
    expect(await endOf(id)).toMatchObject({ status: 'cancelled' });
    const told = finished.records.filter(({ key }) => key === id);
    expect(new Set(told.map(({ headers }) => headers['ce_id'])).size).toBe(1);
  });

  it('fails with a code when it names a tool that is not there', async () => {
    const { id } = await agent('Hello.', ['nothing-of-the-kind']);
    expect(await endOf(id)).toMatchObject({ status: 'failed', error: { code: 'unknown_tool' } });
  });

  it('shows in its timeline what it did', async () => {
    const { id } = await agent('[[tool:look {"at":1}]]', ['look']);
    await endOf(id);
    const timeline = await bodyOf<{ events: { kind: string }[] }>(`/v1/jobs/${id}/timeline`);
    expect(JSON.stringify(timeline)).toContain('look');
  });
});

describe('agents whose services are killed', () => {
  const started: ShownAgent[] = [];
  const kills: Kill[] = [];
  let jobs: ShownAgent[];

  /** Kills a process while agents of its own wait for tools, and waits until all serve again. */
  async function kill(name: string): Promise<void> {
    const pid = pidOf(name);
    if (pid === undefined) throw new Error(`${name} is not running`);
    const service = name.replace(/-\d$/, '');
    kills.push({ service, name, atMs: Date.now() });
    process.kill(pid, 'SIGKILL');
    await until(`another ${name}`, 60_000, () => ![undefined, pid].includes(pidOf(name)));
    await readyReplicas();
  }

  const isUnderWay = (id: string) =>
    tools.sends.some(({ answeredAtMs, callId }) => answeredAtMs === null && callId.startsWith(id));

  beforeAll(async () => {
    const script =
      '[[tool:work {"at":1} && work {"at":2}]] [[tool:work {"at":3}]] [[tool:work {"at":4}]]';
    for (const victim of victims) {
      const batch = await Promise.all(
        Array.from({ length: agentsPerKill }, () => agent(script, ['work'])),
      );
      started.push(...batch);
      // A process that died a moment ago holds its partitions until its session is over.
      await until(`tools at work for ${victim}`, 60_000, () => {
        return batch.some(({ id }) => isUnderWay(id));
      });
      await kill(victim);
    }
    jobs = await Promise.all(started.map(({ id }) => endOf(id, 90_000)));
  });

  it('all end, but for calls that may have been paid twice', () => {
    const others = jobs.filter(({ status }) => status !== 'succeeded');
    for (const { error } of others) expect(error?.code).toBe('outcome_unknown');
    expect(others.length).toBeLessThan(jobs.length / 10);
  });

  it('call each tool once, and once more for each kill that cut the call off', () => {
    expect(unexplained(tools.sends, kills, 'tool-runner')).toEqual([]);
    for (const { id, status } of jobs) {
      const calls = new Set(tools.of(id).map(({ callId }) => callId));
      if (status === 'succeeded') expect(calls.size).toBe(4);
    }
  });

  it('call a tool again under the same key, which no other call has', () => {
    const keys = Map.groupBy(tools.sends, ({ callId }) => callId);
    for (const sends of keys.values()) {
      expect(new Set(sends.map(({ idempotencyKey }) => idempotencyKey)).size).toBe(1);
    }
    const distinct = new Set(tools.sends.map(({ idempotencyKey }) => idempotencyKey));
    expect(distinct.size).toBe(keys.size);
  });

  it('tell their end once, or the same again', async () => {
    for (const { id, status } of jobs) {
      const told = await until(`the end of ${id}`, 30_000, () => {
        const own = finished.records.filter(({ key }) => key === id);
        return own.length > 0 ? own : undefined;
      });
      expect(new Set(told.map(({ headers }) => headers['ce_id'])).size).toBe(1);
      const types = new Set(told.map(({ headers }) => headers['ce_type']));
      expect(types).toEqual(new Set([`millrace.job.${status}.v1`]));
    }
  });
});

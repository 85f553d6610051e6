import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import {
  httpHeaders,
  IdentityPayloadCodec,
  jobFinishedSchema,
  topics,
  workflowAnswerSchema,
  workflowsPath,
  type WorkflowAnswer,
} from '@millrace/contracts';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import pg from 'pg';

import { WorkflowBodies } from './adapters/workflow-rows.ts';
import { PostgresWorkflows } from './adapters/postgres-workflows.ts';
import { reducersWith } from './core/reducers.ts';
import { replay } from './core/replay.ts';
import { ToolTokens } from './core/tool-token.ts';
import {
  createdAt,
  internalKey,
  OrchestratorWorld,
  tokenKey,
  type Script,
} from './orchestrator-world.fixture.ts';
import { readPrices } from './price-file.ts';

jest.setTimeout(90_000);

const prices = readPrices(new URL('../../../deploy/prices.json', import.meta.url));
const twoTurns: Script = {
  turns: [
    [
      { name: 'look', input: { at: 1 } },
      { name: 'ask', input: { whom: 'a worker' } },
    ],
    [{ name: 'look', input: { at: 2 } }],
  ],
};
const waitFor = (name: string) => [{ name: 'wait_for_signal', input: { name } }];
/** Of runs that do something else. Null: their model never answers. */
const scripts: Readonly<Record<string, Script | null>> = {
  'job-parent': { turns: [[{ name: 'helper', input: { prompt: 'Help.' } }]] },
  'job-parent/c1': null,
  'job-budget': { turns: [[{ name: 'look', input: {} }]] },
  'job-signals': { turns: [waitFor('early'), waitFor('late')] },
  'job-unasked': { turns: [[{ name: 'change', input: { to: 'b' } }]] },
  'job-victim': { turns: [[{ name: 'held', input: { at: 1 } }]] },
};
let world: OrchestratorWorld;
let app: NestFastifyApplication;
let admin: pg.Pool;

beforeAll(async () => {
  world = await OrchestratorWorld.start();
  admin = new pg.Pool({ connectionString: world.database.adminUrl });
  app = await world.startOrchestrator();
  // A second replica: partitions and timers are shared.
  await world.startOrchestrator();
  await world.fakeWorker((id) => (id in scripts ? scripts[id]! : twoTurns));
  await world.fakeTools();
});

afterAll(async () => {
  await admin?.end();
  await world?.stop();
});

async function viewOf(jobId: string, key = internalKey) {
  return app.inject({
    url: `${workflowsPath}/default/${jobId}?created_at=${createdAt}`,
    headers: { [httpHeaders.internalKey]: key },
  });
}

async function answerOf(jobId: string): Promise<WorkflowAnswer> {
  return workflowAnswerSchema.parse((await viewOf(jobId)).json());
}

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 20));
}

async function statusOf(id: string): Promise<string | undefined> {
  const { rows } = await admin.query<{ status: string }>(
    'SELECT status FROM orchestrator.workflows WHERE id = $1',
    [id],
  );
  return rows[0]?.status;
}

async function waitForStatus(jobId: string, status: string): Promise<WorkflowAnswer> {
  for (;;) {
    const response = await viewOf(jobId);
    const answer = response.statusCode === 200 ? workflowAnswerSchema.parse(response.json()) : null;
    if (answer?.status === status) return answer;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

describe('an agent', () => {
  it('goes from model to tools and back to its end, though all is told twice', async () => {
    await world.submit('job-1', { params: { tools: ['look', 'ask'] } });
    const { ids, job } = await world.finished('job-1');
    expect(ids).toEqual(new Set(['default:job-1:finished']));
    expect(jobFinishedSchema.parse(job)).toMatchObject({
      type: 'agent',
      status: 'succeeded',
      result: 'done after 3 turns',
      spent: { iterations: 3, tool_calls: 3, tokens: 330 },
      usage: { input_tokens: 300, output_tokens: 30 },
      callback: { url: 'https://example.com/hook' },
      metadata: { run: 'spec' },
      created_at: createdAt,
    });
    expect(job.spent.usd).toBeCloseTo((300 * 2 + 30 * 10) / 1_000_000, 6);
  });

  it('has a journal in which each event stands once, and which replays to its state', async () => {
    const { rows } = await admin.query(
      "SELECT version, event_id FROM orchestrator.journal WHERE id = 'job-1' ORDER BY version",
    );
    expect(rows.map(({ version }) => version)).toEqual(rows.map((_, i) => i + 1));
    expect(rows.map(({ event_id }) => event_id).sort()).toEqual([
      'm1:completed',
      'm2:completed',
      'm3:completed',
      'requested',
      't0:1:completed',
      't1:1:completed',
      't2:1:completed',
      't3:1:completed',
    ]);
    const workflows = app.get(PostgresWorkflows);
    const name = { tenant: 'default', id: 'job-1', day: createdAt.slice(0, 10) };
    const held = await workflows.find(name);
    const range = { from: 1, limit: 100, bytesMax: 1_000_000 };
    const { entries } = await workflows.journal(name, range);
    const replayed = replay({ head: held!.head, entries, reducers: reducersWith(prices) });
    const { state: _state, ...row } = replayed!;
    const { state, ...kept } = held!;
    expect(row).toEqual(kept);
    // As JSON: that is what a row holds.
    const bodies = new WorkflowBodies(new IdentityPayloadCodec());
    expect(JSON.parse(bodies.encode('default', replayed!.state).toString())).toEqual(state);
  });

  it('shows its steps with input, output, time and cost to who has the key', async () => {
    expect((await viewOf('job-1', 'wrong')).statusCode).toBe(401);
    const unknown = await viewOf('nobody');
    // By the code ingest knows it from the 404 of another program.
    expect([unknown.statusCode, unknown.json()]).toMatchObject([404, { code: 'not_found' }]);
    const answer = await answerOf('job-1');
    expect(answer).toMatchObject({ kind: 'agent', status: 'succeeded', truncated: false });
    expect(answer.steps.map(({ kind }) => kind)).toEqual([
      'started',
      'describe_tools',
      'model_call',
      'tool_call',
      'tool_call',
      'model_call',
      'tool_call',
      'model_call',
    ]);
    expect(answer.steps[2]).toMatchObject({
      input: [{ role: 'user', content: 'Find out.' }],
      usage: { input_tokens: 100 },
      cost_usd: 0.0003,
      ended_at: expect.any(String),
    });
    expect(answer.steps[3]).toMatchObject({ name: 'look', input: { at: 1 }, is_error: false });
  });


  it('is cancelled by its own topic, and ends once', async () => {
    await world.cancel('job-cancel');
    await world.submit('job-cancel');
    const { ids, job } = await world.finished('job-cancel');
    expect(ids.size).toBe(1);
    expect(job).toMatchObject({ status: 'cancelled', error: { code: 'cancelled' } });
  });

  it('forks from a step on, with what was said until then', async () => {
    const source = (await answerOf('job-1')).steps;
    // The later of the two results of the first turn, with which the second one is asked for.
    const both = Math.max(source[3]!.step, source[4]!.step);
    await world.submit('job-fork', {
      params: { tools: ['look', 'ask'] },
      fork: {
        workflow_id: 'job-1',
        created_at: createdAt,
        from_step: both,
        allow_side_effects: false,
      },
    });
    await world.finished('job-fork');
    const answer = await answerOf('job-fork');
    const first = answer.steps.find(({ kind }) => kind === 'model_call');
    expect(first?.input).toHaveLength(3);
  });
});

describe('a run that waits', () => {
  it('for a sub-agent is cancelled with it, and with the call that it waits for', async () => {
    const agents = [{ name: 'helper', description: 'helps' }];
    await world.submit('job-parent', { params: { agents } });
    await until(async () => (await statusOf('job-parent/c1')) === 'running');
    await world.cancel('job-parent');
    const { ids, job } = await world.finished('job-parent');
    expect(ids.size).toBe(1);
    expect(job).toMatchObject({ status: 'cancelled', usage: { input_tokens: 100 } });
    await until(() => world.cancelledCalls.has('job-parent/c1/m1'));
    expect(await statusOf('job-parent/c1')).toBe('cancelled');
  });

  it('for a larger budget goes on when it is raised', async () => {
    const budget = { iterations: 1, on_reached: 'park' };
    await world.submit('job-budget', { params: { tools: ['look'] }, budget });
    const { view } = await waitForStatus('job-budget', 'awaiting_budget');
    expect(view).toMatchObject({ limits: { iterations: 1 }, limit_reached: 'iterations' });
    const raise = { raise_id: 'r1', budget: { iterations: 2 } };
    await world.tellRun('job-budget', 'budget-raised', raise);
    const { job } = await world.finished('job-budget');
    expect(job).toMatchObject({ status: 'succeeded', spent: { iterations: 2, tool_calls: 1 } });
  });

  it('for signals takes one that came before it waited, and one that comes then', async () => {
    const signal = (name: string) =>
      world.tellRun('job-signals', 'signalled', { name, signal_id: 's1', data: { name } });
    await world.submit('job-signals', { params: { signals: ['early', 'late'] } });
    await signal('early');
    // It may wait for the early one for a moment, when that comes after the model's answer.
    await waitForStatus('job-signals', 'awaiting_signal');
    await until(async () => (await answerOf('job-signals')).view.signals.includes('late'));
    await signal('late');
    const { job } = await world.finished('job-signals');
    expect(job).toMatchObject({ status: 'succeeded', result: 'done after 3 turns' });
  });

  it('for a person who says nothing goes on without, by its timer in Postgres', async () => {
    const budget = { seconds: 14 * 86_400 };
    await world.submit('job-unasked', { params: { tools: ['change'] }, budget });
    const { view } = await waitForStatus('job-unasked', 'awaiting_approval');
    const [approval] = view.approvals;
    const id = 'job-unasked';
    const name = `approval:${approval?.id}`;
    const timers = 'SELECT due_at FROM orchestrator.timers WHERE id = $1 AND name = $2';
    const { rows } = await admin.query<{ due_at: Date }>(timers, [id, name]);
    expect(rows.map(({ due_at }) => due_at.toISOString())).toEqual([approval?.expires_at]);
    // Its week goes by: the run knows when it ends, and so does the timer.
    const past = new Date(Date.now() - 60_000).toISOString();
    await admin.query(
      `WITH aged AS (
         UPDATE orchestrator.workflows
         SET state = replace(encode(state, 'escape'), $2, $3)::bytea WHERE id = $1
       )
       UPDATE orchestrator.timers SET due_at = $3::timestamptz, not_before = $3::timestamptz
       WHERE id = $1 AND name = $4`,
      [id, approval?.expires_at, past, name],
    );
    const { ids, job } = await world.finished(id);
    expect([ids.size, job.status, job.spent.tool_calls]).toEqual([1, 'succeeded', 0]);
    const answer = await answerOf(id);
    expect(answer.view.approvals).toMatchObject([{ status: 'expired' }]);
    const calls = answer.steps.filter(({ kind }) => kind === 'model_call');
    expect(JSON.stringify(calls.at(-1)?.input)).toContain('approval_expired: nobody agreed');
    // It was asked for, and never made.
    const asked = answer.steps.filter(({ kind }) => kind === 'tool_call');
    expect(asked).toMatchObject([{ error: { code: 'approval_expired' } }]);
    expect((await admin.query(timers, [id, name])).rows).toEqual([]);
  });

  it("for a worker of its own tenant believes nobody else's", async () => {
    await world.submit('job-victim', { params: { tools: ['held'] } });
    await until(() => world.held.length > 0);
    const [call] = world.held;
    if (call === undefined) throw new TypeError('nobody was asked');
    const names = { workflowId: call.workflow_id, callId: call.call_id, attempt: call.attempt };
    const other = { tenant: 'other', day: createdAt.slice(0, 10) };
    const tokens = new ToolTokens(tokenKey);
    // What another tenant has by right: of a call of its own, and of a run that has the same name.
    const ownCall = { ...other, workflowId: 'own', callId: 'own/t1', attempt: 1 };
    const forged = { ...call, arguments: { forged: true } };
    await world.complete(forged, tokens.make(ownCall));
    await world.complete(forged, tokens.make({ ...other, ...names }));
    await world.complete(forged, call.token.replace('v1.default.', 'v1.other.'));
    // Two copies of each of the two that are of no such call.
    const letters = await world.deadLetters.waitFor(4);
    expect(letters.every(({ headers }) => headers['dlq-reason'] === 'bad_token')).toBe(true);
    await world.complete(call);
    await world.finished('job-victim');
    const { steps } = await answerOf('job-victim');
    const told = steps.find(({ kind }) => kind === 'tool_call');
    expect(told).toMatchObject({ output: { saw: { at: 1 } } });
    expect(JSON.stringify(steps)).not.toContain('forged');
  });
});

describe('what comes from strangers', () => {
  it('is dead-lettered when its token was not made for its call', async () => {
    const call = { workflow_id: 'job-1', call_id: 'job-1/t1', tool: 'look', arguments: {} };
    const token = `v1.default.2026-11-24.1.${'A'.repeat(43)}`;
    await world.complete({ ...call, token });
    const isOfCall = ({ key }: { readonly key: Buffer | null }) => key?.toString() === 'job-1';
    const letters = await world.deadLetters.waitFor((all) => all.some(isOfCall));
    expect(letters.find(isOfCall)?.headers).toMatchObject({ 'dlq-reason': 'bad_token' });
  });
});

describe('a run that nobody can go on with', () => {
  it('waits with the status parked, and tells its code', async () => {
    await admin.query(
      `INSERT INTO orchestrator.workflows
         (tenant, id, day, kind, schema_version, version, status, request, state)
       SELECT tenant, 'job-old', day, kind, 99, 1, 'running',
         replace(encode(request, 'escape'), 'job-1', 'job-old')::bytea, state
       FROM orchestrator.workflows WHERE id = 'job-1'`,
    );
    await world.tell({
      topic: topics.workflowsRequested,
      type: 'millrace.workflow.signalled.v1',
      id: 'default:job-old:signal',
      key: 'default/job-old',
      data: {
        tenant: 'default',
        workflow_id: 'job-old',
        created_at: createdAt,
        name: 'go',
        signal_id: 's1',
        data: null,
      },
    });
    const answer = await waitForStatus('job-old', 'parked');
    expect(answer.parked_code).toBe('unknown_workflow_version');
  });

  it('ends by a cancel even so', async () => {
    await world.cancel('job-old');
    const { ids, job } = await world.finished('job-old');
    expect(ids.size).toBe(1);
    expect(job).toMatchObject({ status: 'cancelled', error: { code: 'cancelled' } });
    expect((await answerOf('job-old')).parked_code).toBeUndefined();
  });
});

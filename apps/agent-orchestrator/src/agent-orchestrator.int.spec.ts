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
import { createdAt, internalKey, OrchestratorWorld } from './orchestrator-world.fixture.ts';
import { readPrices } from './price-file.ts';

jest.setTimeout(90_000);

const prices = readPrices(new URL('../../../deploy/prices.json', import.meta.url));
let world: OrchestratorWorld;
let app: NestFastifyApplication;
let admin: pg.Pool;

beforeAll(async () => {
  world = await OrchestratorWorld.start();
  admin = new pg.Pool({ connectionString: world.database.adminUrl });
  app = await world.startOrchestrator();
  // A second replica: partitions and timers are shared.
  await world.startOrchestrator();
  await world.fakeWorker({
    turns: [
      [
        { name: 'look', input: { at: 1 } },
        { name: 'ask', input: { whom: 'a worker' } },
      ],
      [{ name: 'look', input: { at: 2 } }],
    ],
  });
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
    expect((await viewOf('nobody')).statusCode).toBe(404);
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

describe('what comes from strangers', () => {
  it('is dead-lettered when its token was not made for its call', async () => {
    const call = { workflow_id: 'job-1', call_id: 'job-1/t1', tool: 'look', arguments: {} };
    const token = `v1.default.2026-11-24.1.${'A'.repeat(43)}`;
    await world.complete({ ...call, token });
    const [letter] = await world.deadLetters.waitFor(1);
    expect(letter?.headers).toMatchObject({ 'dlq-reason': 'bad_token' });
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

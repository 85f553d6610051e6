import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import {
  claudeCompletedSchema,
  claudeDeltaSchema,
  type ClaudeRequested,
  claudeRequestedSchema,
  topics,
} from '@millrace/contracts';
import {
  type FakeClaudeServer,
  type FakeRequest,
  type KafkaReader,
  type ReadMessage,
} from '@millrace/testing';
import type pg from 'pg';

import { CallWorker } from './call-worker.ts';
import { cancelRequested, requested, RunningWorkers } from './running-workers.fixture.ts';

/** A worker joins its group, runs and stops in each spec, on a machine that may be busy. */
jest.setTimeout(30_000);

/** The one job among these specs that is no workflow's. */
const messageJob = 'seen-job';
const createdAt = '2026-11-23T10:00:00.000Z';

let workers: RunningWorkers;
let claude: FakeClaudeServer;
let completed: KafkaReader;
let jobTopics: KafkaReader[];
let deltas: KafkaReader;
let sql: pg.Pool;

beforeAll(async () => {
  workers = await RunningWorkers.prepare();
  ({ claude, sql } = workers);
  [completed, deltas, ...jobTopics] = await Promise.all([
    workers.reader(topics.claudeCompleted.name),
    workers.reader(topics.claudeDeltas.name),
    workers.reader(topics.jobsFinished.name),
    workers.reader(topics.jobsProgressed.name),
    workers.reader(`${topics.claudeRequested.name}.dlq`),
  ]);
}, 60_000);

afterEach(async () => {
  await workers.stopAll();
  claude.answerWith(() => ({ kind: 'message' }));
}, 30_000);

afterAll(async () => {
  await Promise.all([completed, deltas, ...jobTopics].map((reader) => reader.stop()));
  await workers.close();
}, 30_000);

type Fields = Partial<Record<keyof ClaudeRequested, unknown>>;
type Message = Readonly<Record<string, unknown>>;

function user(text: string): Message {
  return { role: 'user', content: text };
}

/** The `n`th call of a workflow, in its conversation. */
function call(workflow: string, n: number, messages: Message[], fields: Fields = {}) {
  return claudeRequestedSchema.parse({
    tenant: 'default',
    call_id: `${workflow}/m${n}`,
    lane: 'standard',
    session_id: `${workflow}/s`,
    session_seq: n,
    stream: false,
    params: { model: 'claude-sonnet-5-5', max_tokens: 100, messages },
    reply: {
      kind: 'workflow',
      workflow_id: workflow,
      job_id: workflow.split('/')[0],
      turn: n,
      created_at: createdAt,
    },
    ...fields,
  });
}

function toldOf({ call_id: id }: ClaudeRequested): ReadMessage[] {
  return completed.messages.filter(
    ({ headers }) => headers['ce_id'] === `default:${id}:completed`,
  );
}

/** Keys of what went to the topics of jobs, and of their dead letters. */
function toldOfJobs(): string[] {
  const keys = jobTopics.flatMap(({ messages }) => messages.map(({ key }) => String(key)));
  return keys.filter((key) => key !== messageJob);
}

async function end(request: ClaudeRequested) {
  await completed.waitFor(() => toldOf(request).length > 0);
  return claudeCompletedSchema.parse(JSON.parse(String(toldOf(request)[0]?.value)));
}

/** Every request comes twice. */
async function run(request: ClaudeRequested) {
  await workers.publisher.publish([requested(request), requested(request)]);
  return end(request);
}

/** Sends of a prompt. */
function sendsOf(prompt: string): readonly FakeRequest[] {
  return claude.requests.filter((request) => request.prompt === prompt);
}

async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 10));
}

function rows(query: string, values: unknown[] = []): Promise<unknown[]> {
  return workers.rows(query, values);
}

const toolUse = { type: 'tool_use', id: 'toolu_1', name: 'look', input: { at: 'it' } };
const toolResult = {
  role: 'user',
  content: [{ type: 'tool_result', tool_use_id: 'toolu_1', content: 'seen' }],
};

describe("a workflow's call", () => {
  it('ends with its completion, which its workflow alone is told', async () => {
    await workers.start();
    const request = call('plain', 1, [user('plain-1')]);
    expect(await run(request)).toMatchObject({
      workflow_id: 'plain',
      call_id: 'plain/m1',
      created_at: createdAt,
      outcome: 'answered',
      kept: true,
      model: 'claude-sonnet-5-5',
      message: { stop_reason: 'end_turn', content: [{ text: 'answer to plain-1' }] },
      usage: { input_tokens: 11, output_tokens: 7 },
      attempts: [{ number: 1, outcome: 'succeeded' }],
      stand_in: true,
    });
    const [told] = toldOf(request);
    expect(told?.key?.toString()).toBe('default/plain');
    expect(told?.headers).toMatchObject({
      ce_type: 'millrace.claude.completed.v1',
      ce_subject: 'plain',
    });
    await until(async () => (await rows('SELECT FROM worker.outbox')).length === 0);
    expect(toldOfJobs()).toEqual([]);
  });

  it('is paid once though its request comes again, and told again word for word', async () => {
    await workers.start();
    const request = call('twice', 1, [user('twice-1')]);
    await run(request);
    const before = toldOf(request).length;
    await workers.publisher.publish([requested(request)]);
    await completed.waitFor(() => toldOf(request).length > before);
    expect(new Set(toldOf(request).map(({ value }) => String(value))).size).toBe(1);
    expect(new Set(toldOf(request).map(({ key }) => String(key)))).toEqual(
      new Set(['default/twice']),
    );
    expect(sendsOf('twice-1')).toHaveLength(1);
  });

  it('lies in the outbox with its end, for when its process dies before telling', async () => {
    await workers.start();
    await sql.query(`CREATE TABLE public.outbox_seen (LIKE worker.outbox);
      GRANT INSERT ON public.outbox_seen TO claude_worker;
      CREATE FUNCTION public.see_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN INSERT INTO public.outbox_seen SELECT NEW.*; RETURN NEW; END $$;
      CREATE TRIGGER seen BEFORE INSERT ON worker.outbox
        FOR EACH ROW EXECUTE FUNCTION public.see_outbox()`);
    const job = claudeRequestedSchema.parse({
      ...call('seen', 1, [user(messageJob)]),
      call_id: messageJob,
      session_id: undefined,
      session_seq: undefined,
      reply: { kind: 'job', created_at: createdAt },
    });
    const request = call('seen', 1, [user('seen-1')]);
    await workers.publisher.publish([requested(job), requested(request)]);
    await end(request);
    const query = 'SELECT key, value FROM public.outbox_seen WHERE topic = $1';
    expect(await rows(query, [topics.claudeCompleted.name])).toEqual([
      { key: 'default/seen', value: toldOf(request)[0]?.value },
    ]);
    await until(async () => (await rows(query, [topics.jobsFinished.name])).length > 0);
    expect(await rows(query, [topics.jobsFinished.name])).toMatchObject([{ key: messageJob }]);
    await sql.query('DROP TRIGGER seen ON worker.outbox');
  });

  it('keeps an answer that is too large to travel in blobs', async () => {
    await workers.start();
    claude.answerWith(() => ({ kind: 'message', text: 'x'.repeat(300 * 1024) }));
    const result = await run(call('large/c1', 1, [user('large-1')]));
    expect(result).toMatchObject({ outcome: 'answered', kept: true });
    expect(result.message).toBeUndefined();
    const kept = "SELECT length(blobs.get('default', $1)) > 300000 AS whole";
    expect(await rows(kept, [result.message_ref])).toEqual([{ whole: true }]);
  });

  it.each(['refusal', 'pause_turn', 'something_new'])(
    'is answered when it stops with %s: its workflow decides',
    async (stopReason) => {
      await workers.start();
      claude.answerWith(() => ({ kind: 'message', fields: { stop_reason: stopReason } }));
      const result = await run(call(`stop-${stopReason}`, 1, [user(stopReason)]));
      expect(result).toMatchObject({ outcome: 'answered', message: { stop_reason: stopReason } });
    },
  );

  it('that fails has no dead letter, and tells its attempts', async () => {
    await workers.start();
    claude.answerWith(() => ({ kind: 'error', status: 500 }));
    const result = await run(call('failing', 1, [user('failing-1')]));
    expect(result).toMatchObject({
      outcome: 'failed',
      kept: false,
      error: { code: 'retries_exhausted' },
    });
    expect(result.attempts).toHaveLength(6);
    const refused = call('refused', 1, [user('refused-1')]);
    const bad = { ...refused, params: { ...refused.params, model: 'claude\u0000' } };
    expect(await run(bad)).toMatchObject({ outcome: 'failed', error: { code: 'bad_row' } });
    expect(toldOfJobs()).toEqual([]);
  });

  it('tells its text under the job, with its turn, and no progress', async () => {
    await workers.start();
    claude.answerWith(() => ({ kind: 'message', afterMs: 1_500 }));
    await run(call('streamed', 1, [user('streamed-1')], { stream: true }));
    const told = () =>
      deltas.messages
        .filter(({ key }) => key?.toString() === 'default/streamed')
        .map(({ value }) => claudeDeltaSchema.parse(JSON.parse(String(value))));
    await deltas.waitFor(
      () => told().map(({ text }) => text).join('') === 'answer to streamed-1',
    );
    expect(told()[0]).toMatchObject({ job_id: 'streamed', turn: 1, attempt: 1, start: 0 });
    expect(toldOfJobs()).toEqual([]);
  });

  it('is sent again when its process dies with it, and has one end', async () => {
    await workers.start({ MAX_IN_FLIGHT: '1' });
    claude.answerWith((_, nth) => ({ kind: 'message', afterMs: nth === first ? 4_000 : 0 }));
    const first = claude.requests.length + 1;
    const request = call('dying', 1, [user('dying-1')]);
    await workers.publisher.publish([requested(request)]);
    await until(() => sendsOf('dying-1').length === 1);
    await workers.start();
    await sql.query(
      `WITH dead AS (
         INSERT INTO worker.processes (id, lease_until) VALUES ('dead', now() - interval '1 s')
         RETURNING id)
       UPDATE worker.calls SET owner = dead.id FROM dead WHERE call_id = $1`,
      [request.call_id],
    );
    expect(await end(request)).toMatchObject({
      outcome: 'answered',
      attempts: [
        { number: 1, outcome: 'unknown', code: 'interrupted' },
        { number: 2, outcome: 'succeeded' },
      ],
    });
    const late = 'SELECT FROM worker.late_usage WHERE call_id = $1';
    await until(async () => (await rows(late, [request.call_id])).length === 1);
    expect(toldOf(request)).toHaveLength(1);
  });
});

describe("a cancel of a workflow's call", () => {
  const isCancelled = { outcome: 'cancelled', kept: false, error: { code: 'cancelled' } };

  it('stops one that runs', async () => {
    await workers.start();
    claude.answerWith(() => ({ kind: 'message', afterMs: 10_000 }));
    const request = call('stopped', 1, [user('stopped-1')]);
    await workers.publisher.publish([requested(request)]);
    await until(() => sendsOf('stopped-1').length === 1);
    await workers.publisher.publish([cancelRequested(request), cancelRequested(request)]);
    expect(await end(request)).toMatchObject({
      ...isCancelled,
      attempts: [{ outcome: 'unknown', code: 'cancelled' }],
    });
    await until(() => claude.inFlight === 0);
  });

  it('that comes first ends it, nothing is paid, and the next turn goes', async () => {
    await workers.start();
    const first = call('early', 1, [user('early-1')]);
    await workers.publisher.publish([cancelRequested(first)]);
    expect(await end(first)).toMatchObject({ ...isCancelled, attempts: [] });
    const told = toldOf(first).length;
    await workers.publisher.publish([requested(first)]);
    await completed.waitFor(() => toldOf(first).length > told);
    expect(new Set(toldOf(first).map(({ value }) => String(value))).size).toBe(1);
    const second = await run(call('early', 2, [user('early-2')]));
    expect(second).toMatchObject({ outcome: 'answered' });
    expect(sendsOf('early-1')).toHaveLength(0);
  });

  it('that comes too late has the end told again', async () => {
    await workers.start();
    const request = call('over', 1, [user('over-1')]);
    await run(request);
    const told = toldOf(request).length;
    await workers.publisher.publish([cancelRequested(request)]);
    await completed.waitFor(() => toldOf(request).length > told);
    expect(new Set(toldOf(request).map(({ value }) => String(value))).size).toBe(1);
  });
});

describe("a workflow's conversation", () => {
  it.each([false, true])('goes on after tools, stream: %p', async (stream) => {
    await workers.start();
    const workflow = `tools-${stream}`;
    const asked = [{ type: 'text', text: 'I look.' }, toolUse];
    claude.answerWith(({ prompt }) =>
      prompt === workflow
        ? { kind: 'message', fields: { content: asked, stop_reason: 'tool_use' } }
        : { kind: 'message', text: 'done' },
    );
    const first = await run(call(workflow, 1, [user(workflow)], { stream }));
    expect(first).toMatchObject({ kept: true, message: { content: asked } });
    const second = await run(call(workflow, 2, [toolResult], { stream }));
    expect(second).toMatchObject({ kept: true, message: { content: [{ text: 'done' }] } });
    expect(claude.requests.at(-1)?.body['messages']).toEqual([
      user(workflow),
      { role: 'assistant', content: asked },
      toolResult,
    ]);
  });

  it('goes on after the assistant when a turn was paused', async () => {
    await workers.start();
    const half = [{ type: 'text', text: 'half' }];
    claude.answerWith(({ prompt }) =>
      prompt === 'paused-1'
        ? { kind: 'message', fields: { content: half, stop_reason: 'pause_turn' } }
        : { kind: 'message', text: 'rest' },
    );
    await run(call('paused', 1, [user('paused-1')]));
    expect(await run(call('paused', 2, []))).toMatchObject({ outcome: 'answered', kept: true });
    const sent = [user('paused-1'), { role: 'assistant', content: half }];
    expect(claude.requests.at(-1)?.body['messages']).toEqual(sent);
    await run(call('paused', 3, [user('paused-3')]));
    expect(claude.requests.at(-1)?.body['messages']).toEqual([
      ...sent,
      { role: 'assistant', content: [{ type: 'text', text: 'rest' }] },
      user('paused-3'),
    ]);
  });

  it('is as before after a tool_use that was cut off, and after a turn that failed', async () => {
    await workers.start();
    const cutOff = { content: [toolUse], stop_reason: 'max_tokens' };
    claude.answerWith((_, nth) => {
      if (nth === first) return { kind: 'message', fields: cutOff };
      return nth === first + 1 ? { kind: 'error', status: 400 } : { kind: 'message' };
    });
    const first = claude.requests.length + 1;
    const asked = [user('cut-off')];
    expect(await run(call('cut', 1, asked))).toMatchObject({
      outcome: 'answered',
      kept: false,
      message: cutOff,
    });
    expect(await run(call('cut', 2, asked))).toMatchObject({
      outcome: 'failed',
      kept: false,
      error: { code: 'rejected_by_claude' },
    });
    expect(await run(call('cut', 3, asked))).toMatchObject({ outcome: 'answered', kept: true });
    expect(claude.requests.slice(first - 1).map(({ body }) => body['messages'])).toEqual([
      asked,
      asked,
      asked,
    ]);
  });

  it("goes with the day of its job's calls; a user's session stays", async () => {
    const app = await workers.start();
    const old = { ...call('old', 1, [user('old-1')]).reply, created_at: '2026-01-02T10:00:00Z' };
    await run(call('old', 1, [user('old-1')], { reply: old }));
    const count = `SELECT
      (SELECT count(*) FROM worker.sessions WHERE session_id = $1)::int AS sessions,
      (SELECT count(*) FROM worker.session_turns WHERE session_id = $1)::int AS turns`;
    const keepDays = async (): Promise<void> => {
      for (const table of ['calls', 'sessions', 'session_turns']) {
        await sql.query("SELECT millrace_keep_days('worker', $1)", [table]);
      }
    };
    await sql.query(`INSERT INTO worker.sessions VALUES ('default', 'mine', 1);
      INSERT INTO worker.session_turns VALUES ('default', 'mine', 1, '[]')`);
    await keepDays();
    await sql.query("UPDATE worker.sessions SET used_on = '2026-01-02' WHERE session_id = 'old/s'");
    const { ledger } = app.get(CallWorker);
    expect(await ledger.forgetSessions(1)).toEqual({ sessions: 0, more: false });
    expect(await rows(count, ['old/s'])).toEqual([{ sessions: 1, turns: 1 }]);
    await sql.query(
      "UPDATE worker.calls SET finished_at = now() - interval '31 days' WHERE call_id = 'old/m1'",
    );
    await keepDays();
    expect(await rows(count, ['old/s'])).toEqual([{ sessions: 0, turns: 0 }]);
    expect(await rows(count, ['mine'])).toEqual([{ sessions: 1, turns: 1 }]);
  });
});

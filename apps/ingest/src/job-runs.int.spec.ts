import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import {
  forkPromptLengthMax,
  signalBytesMax,
  standingPreference,
  topics,
  workflowAnswerSchema,
  workflowsPath,
  type ApprovalView,
} from '@millrace/contracts';
import type { KafkaReader } from '@millrace/testing';

import { FakeInternalService, internalKey, type Told } from './internal-service.fixture.ts';
import { RunningIngest, until, type CallOptions, type Json } from './running-ingest.fixture.ts';

jest.setTimeout(60_000);

let ingest: RunningIngest;
/** A fake of agent-orchestrator. */
let orchestrator: FakeInternalService;
let requests: KafkaReader;

beforeAll(async () => {
  orchestrator = await FakeInternalService.start();
  ingest = await RunningIngest.start({
    MILLRACE_ORCHESTRATOR_URL: orchestrator.url,
    MILLRACE_INTERNAL_KEY: internalKey,
  });
  requests = await ingest.reader(topics.workflowsRequested);
});

afterAll(async () => {
  orchestrator.stop();
  await requests?.stop();
  await ingest?.stop();
});

const approval: ApprovalView = {
  id: `apr_${'a'.repeat(32)}`,
  tool: 'pay',
  tool_version: 2,
  arguments: { usd: 5 },
  hash: 'b'.repeat(64),
  requested_at: '2026-11-24T10:00:00.000Z',
  expires_at: '2026-12-01T10:00:00.000Z',
  status: 'pending',
};
const messages = [{ role: 'user', content: 'plan' }];
const spent = { usd: 0, tokens: 0, iterations: 0, tool_calls: 0 };

function run(
  status = 'awaiting_approval',
  approvals: readonly ApprovalView[] = [approval],
  more: object = {},
): Told {
  const view = { approvals, spent, signals: [], tainted: false };
  const answer = { kind: 'agent', status, version: 3, view, approval_workflows: {}, steps: [] };
  return { body: workflowAnswerSchema.parse({ ...answer, truncated: false, ...more }) };
}

const unknown: Told = { status: 404, body: { code: 'not_found', detail: 'no such workflow' } };

beforeEach(() => {
  orchestrator.answers(() => run());
});

async function submit(body: object = {}): Promise<Json> {
  const submission = { type: 'agent', prompt: 'p', ...body };
  return (await ingest.call('POST', '/v1/jobs', { body: submission })).body;
}

const post = (job: Json, path: string, o: CallOptions = {}) =>
  ingest.call('POST', `/v1/jobs/${job.id}/${path}`, { body: {}, ...o });

/** What the run of a job was told, by type, as soon as there is so much of it. */
async function toldTo(job: Json, count: number): Promise<Json[]> {
  const isTold = ({ headers }: { headers: Readonly<Record<string, string>> }) =>
    headers['ce_subject'] === job.id && !headers['ce_type']?.includes('.requested.');
  const all = await requests.waitFor((found) => found.filter(isTold).length >= count);
  return all.filter(isTold).map(({ headers, key, value }) => ({
    type: headers['ce_type'],
    id: headers['ce_id'],
    key: String(key),
    data: JSON.parse(String(value)),
  }));
}

describe('the approvals of a run', () => {
  it('are asked of the orchestrator, for this job and tenant', async () => {
    const job = await submit();
    const { status, body } = await ingest.call('GET', `/v1/jobs/${job.id}/approvals`);
    expect([status, body]).toEqual([200, { data: [approval] }]);
    const [asked] = orchestrator.asked;
    expect(asked?.url.pathname).toBe(`${workflowsPath}/default/${job.id}`);
    expect(asked?.url.searchParams.get('created_at')).toBe(job.created_at);
    expect(asked?.headers).not.toHaveProperty('prefer');
  });

  it('are shown without their arguments once they were decided', async () => {
    const { arguments: _given, ...decided } = { ...approval, status: 'approved' as const };
    orchestrator.answers(() => run('running', [decided]));
    const { status, body } = await ingest.call(
      'GET',
      `/v1/jobs/${(await submit()).id}/approvals`,
    );
    expect([status, body]).toEqual([200, { data: [decided] }]);
  });

  it('are none before it begins, and none of a message', async () => {
    orchestrator.answers(() => unknown);
    for (const job of [await submit(), await submit({ type: 'message' })]) {
      const { status, body } = await ingest.call('GET', `/v1/jobs/${job.id}/approvals`);
      expect([status, body]).toEqual([200, { data: [] }]);
    }
  });

  it('are decided on the key of the run, for the call that was shown', async () => {
    const job = await submit();
    const body = { decision: 'reject', reason: 'too much' };
    for (const _ of [1, 2]) {
      const answer = await post(job, `approvals/${approval.id}`, { body });
      expect([answer.status, answer.body.id]).toEqual([202, job.id]);
    }
    const [first, second] = await toldTo(job, 2);
    expect(first).toEqual({
      type: 'millrace.workflow.approval-decided.v1',
      id: `default:${job.id}:approval-decided:${approval.id}`,
      key: `default/${job.id}`,
      data: {
        tenant: 'default',
        workflow_id: job.id,
        created_at: job.created_at,
        approval_id: approval.id,
        hash: approval.hash,
        ...body,
      },
    });
    expect(second.id).toBe(first.id);
  });

  it('are decided on the key of the sub-agent that asked', async () => {
    const job = await submit();
    const child = `${job.id}/c1`;
    const approval_workflows = { [approval.id]: child };
    orchestrator.answers(() => run('running', [approval], { approval_workflows }));
    await post(job, `approvals/${approval.id}`, { body: { decision: 'approve' } });
    const [told] = await toldTo(job, 1);
    expect([told.key, told.data.workflow_id]).toEqual([`default/${child}`, child]);
  });

  it.each([
    ['an id that the run does not know', run('running', []), {}, 404, 'not_found'],
    ['one that was decided', run('running', [{ ...approval, status: 'rejected' }]), {}, 409,
      'changed_meanwhile'],
    ['one of another call', run(), { hash: 'c'.repeat(64) }, 409, 'changed_meanwhile'],
    ['one of a run that has ended', run('succeeded'), {}, 409, 'job_ended'],
    ['one of a run that has not begun', unknown, {}, 409, 'not_begun'],
    ['one of a run that cannot be asked', { silent: true }, {}, 503, 'unavailable'],
    ['one of a run that nobody understands', { body: {} }, {}, 503, 'unavailable'],
    ['no decision', run(), { decision: 'maybe' }, 400, 'invalid_request'],
  ])('are not decided with %s', async (_what, told, more, status, code) => {
    const job = await submit();
    orchestrator.answers(() => told);
    const body = { decision: 'approve', ...more };
    const answer = await post(job, `approvals/${approval.id}`, { body });
    expect([answer.status, answer.body.code]).toEqual([status, code]);
  });
});

describe('the timeline of a run', () => {
  const timelineOf = async (job: Json): Promise<Json> =>
    (await ingest.call('GET', `/v1/jobs/${job.id}/timeline`)).body;
  const kindsOf = ({ events }: { events: Json[] }): Json[] => events.map(({ kind }) => kind);

  it('has its steps, with what they took and cost', async () => {
    const job = await submit();
    const at = (ms: number) => new Date(Date.parse(job.created_at) + ms).toISOString();
    const step = { workflow_id: job.id, at: at(5) };
    const call = { ...step, kind: 'model_call', step: 2, id: `${job.id}/m1`, ended_at: at(900) };
    const steps = [
      { ...step, kind: 'started', step: 1, id: job.id },
      { ...call, model: 'm', cost_usd: 0.02, usage: { input_tokens: 9, output_tokens: 1 } },
      { ...step, kind: 'tool_call', step: 3, id: `${job.id}/t1`, name: 'pay', input: { usd: 5 } },
    ];
    orchestrator.answers(() => run('running', [], { steps, truncated: true }));
    const timeline = await timelineOf(job);
    expect(kindsOf(timeline)).toEqual(['accepted', 'released', 'tool_call', 'model_call']);
    const { at: _at, ended_at: _endedAt, ...told } = call;
    expect(timeline.events[3]).toMatchObject({ ...told, at: at(900), started_at: at(5) });
    expect(timeline.events[2]).toMatchObject({ under_way: true, input: { usd: 5 } });
    // There is no webhook-dispatcher here.
    expect([timeline.truncated, timeline.incomplete]).toEqual([true, ['webhook-dispatcher']]);
  });

  it('says what was spent, what may be, and which limit waits to be raised', async () => {
    const job = await submit();
    const limits = { usd: 1, tokens: 9, iterations: 1, tool_calls: 2, seconds: 60 };
    const money = { spent: { ...spent, iterations: 1 }, limits, limit_reached: 'iterations' };
    const view = { approvals: [], signals: [], tainted: false, ...money };
    orchestrator.answers(() => run('awaiting_budget', [], { view }));
    expect(await timelineOf(job)).toMatchObject(money);
  });

  it('says that it lacks them when the orchestrator is away', async () => {
    const job = await submit();
    orchestrator.answers(() => ({ status: 500, body: 'oops' }));
    const timeline = await timelineOf(job);
    expect(timeline.incomplete).toEqual(['webhook-dispatcher', 'agent-orchestrator']);
    expect(kindsOf(timeline)).toEqual(['accepted', 'released']);
  });

  it('lacks nothing before it begins, and of a message nobody is asked', async () => {
    orchestrator.answers(() => unknown);
    expect((await timelineOf(await submit())).incomplete).toEqual(['webhook-dispatcher']);
    orchestrator.answers(() => run());
    const timeline = await timelineOf(await submit({ type: 'message' }));
    expect([timeline.incomplete, orchestrator.asked]).toEqual([['webhook-dispatcher'], []]);
  });
});

describe('a signal', () => {
  it('is told under the id that makes it one, however often it is sent', async () => {
    const job = await submit();
    const headers = { 'idempotency-key': 'once' };
    await post(job, 'signals/paid', { body: { data: { usd: 5 } }, headers });
    await post(job, 'signals/paid', { body: { data: { usd: 5 } }, headers });
    await post(job, 'signals/paid', { body: { data: 1, signal_id: 'mine' }, headers });
    await ingest.call('POST', `/v1/jobs/${job.id}/signals/paid`);
    const told = await toldTo(job, 4);
    expect(told.map(({ data }) => [data.name, data.data])).toEqual([
      ['paid', { usd: 5 }],
      ['paid', { usd: 5 }],
      ['paid', 1],
      ['paid', null],
    ]);
    const ids: string[] = told.map(({ data }) => data.signal_id);
    expect(ids.slice(0, 3)).toEqual(['once', 'once', 'mine']);
    expect(told[0].id).toBe(`default:${job.id}:signalled:paid:once`);
    expect(new Set(told.map(({ id }) => id)).size).toBe(3);
    expect(new Set(told.map(({ key }) => key))).toEqual(new Set([`default/${job.id}`]));
    // They come many times to runs that are long: no journal is read for them.
    expect(new Set(orchestrator.asked.map(({ headers }) => headers['prefer']))).toEqual(
      new Set([standingPreference]),
    );
  });

  it.each([
    ['no name', 'signals/9', {}, 400],
    ['an id with a line break', 'signals/paid', { signal_id: 'a\nb' }, 400],
    ['too much', 'signals/paid', { data: 'x'.repeat(signalBytesMax) }, 413],
  ])('with %s is refused', async (_what, path, body, status) => {
    const job = await submit();
    expect((await post(job, path, { body })).status).toBe(status);
    expect(orchestrator.asked).toEqual([]);
  });
});

describe('a larger budget', () => {
  it('is told once for a key', async () => {
    const job = await submit();
    const o = { body: { usd: 9 }, headers: { 'idempotency-key': 'more' } };
    await post(job, 'budget', o);
    await post(job, 'budget', o);
    const told = await toldTo(job, 2);
    expect(told[0]).toMatchObject({
      type: 'millrace.workflow.budget-raised.v1',
      data: { workflow_id: job.id, raise_id: 'more', budget: { usd: 9 } },
    });
    expect(told[1].id).toBe(told[0].id);
  });

  it('has to name a limit, and no other rule', async () => {
    const job = await submit();
    for (const body of [{}, { on_reached: 'park' }, { usd: -1 }]) {
      expect((await post(job, 'budget', { body })).status).toBe(400);
    }
  });
});

describe('a fork', () => {
  const fork = (job: Json, body: object, o: CallOptions = {}) => post(job, 'fork', { body, ...o });

  it('is a new job that is asked for as its source was, with the steps that it takes', async () => {
    const source = await submit({ params: { messages, tools: ['look'] }, prompt: undefined });
    const headers = { 'idempotency-key': `fork-${source.id}` };
    const made = await fork(source, { from_step: 2, model: 'other' }, { headers });
    expect([made.status, made.body.fork_of, made.body.model]).toEqual([202, source.id, 'other']);
    const again = await fork(source, { from_step: 2, model: 'other' }, { headers });
    expect([again.status, again.body.id]).toEqual([202, made.body.id]);
    expect(again.headers.get('idempotent-replayed')).toBe('true');
    const conflict = await fork(source, { from_step: 1 }, { headers });
    expect([conflict.status, conflict.body.code]).toEqual([409, 'idempotency_conflict']);
    const shown = await ingest.call('GET', `/v1/jobs/${made.body.id}`);
    expect(shown.body.fork_of).toBe(source.id);
    const isFork = ({ headers: h }: { headers: Readonly<Record<string, string>> }) =>
      h['ce_subject'] === made.body.id;
    const all = await requests.waitFor((found) => found.some(isFork));
    expect(JSON.parse(String(all.find(isFork)?.value))).toMatchObject({
      job_id: made.body.id,
      params: { messages, tools: ['look'], model: 'other' },
      fork: { workflow_id: source.id, created_at: source.created_at, from_step: 2 },
    });
  });

  const long = 'x'.repeat(forkPromptLengthMax + 1);

  it.each([
    ['a step that is not there', run(), { from_step: 4 }, 400, 'invalid_request'],
    ['a long prompt in the middle', run(), { from_step: 1, prompt: long }, 400, 'invalid_request'],
    ['no step', run(), {}, 400, 'invalid_request'],
    ['a source that has not begun', unknown, { from_step: 0 }, 409, 'not_begun'],
    ['a source that cannot be asked', { silent: true }, { from_step: 0 }, 503, 'unavailable'],
  ])('is refused with %s', async (_what, told, body, status, code) => {
    const job = await submit();
    orchestrator.answers(() => told);
    const answer = await fork(job, body);
    expect([answer.status, answer.body.code]).toEqual([status, code]);
  });

  it('is of an agent of this tenant', async () => {
    expect((await fork(await submit({ type: 'message' }), { from_step: 0 })).status).toBe(400);
    const asOther = await fork(await submit(), { from_step: 0 }, { asOther: true });
    expect([asOther.status, asOther.body.code]).toEqual([404, 'not_found']);
  });

  it('is compared with its source', async () => {
    const source = await submit();
    const { body: made } = await fork(source, { from_step: 0 });
    const step = { kind: 'model_call', step: 2, at: source.created_at };
    orchestrator.answers(({ url }) => {
      const id = url.pathname.split('/').at(-1);
      const cost_usd = id === source.id ? 3 : 1;
      const steps = [{ ...step, workflow_id: id, id: `${id}/m1`, cost_usd }];
      return run('running', [], { steps });
    });
    const { status, body } = await ingest.call('GET', `/v1/jobs/${made.id}/fork`);
    expect([status, body.from_step, body.source.job_id]).toEqual([200, 0, source.id]);
    expect(body.difference).toEqual({ usd: -2, turns: 0, tool_calls: 0 });
    expect((await ingest.call('GET', `/v1/jobs/${source.id}/fork`)).status).toBe(404);
    orchestrator.answers(() => ({ status: 500 }));
    expect((await ingest.call('GET', `/v1/jobs/${made.id}/fork`)).status).toBe(503);
  });
});

describe.each([
  ['a decision', `approvals/${approval.id}`, { decision: 'approve' }],
  ['a signal', 'signals/paid', {}],
  ['a larger budget', 'budget', { usd: 1 }],
])('%s', (_what, path, body) => {
  it('is for the jobs of its tenant', async () => {
    const job = await submit();
    const answer = await post(job, path, { body, asOther: true });
    expect([answer.status, answer.body.code]).toEqual([404, 'not_found']);
    expect(orchestrator.asked.filter(({ url }) => url.pathname.endsWith(job.id))).toEqual([]);
  });

  it('is for jobs that have a run', async () => {
    const answer = await post(await submit({ type: 'message' }), path, { body });
    expect([answer.status, answer.body.code]).toEqual([400, 'invalid_request']);
  });

  it('is not for a job that has ended, whatever its run says', async () => {
    const run_at = new Date(Date.now() + 3_600_000).toISOString();
    const job = await submit({ run_at });
    await post(job, 'cancel');
    const answer = await until(async () => {
      const told = await post(job, path, { body });
      return told.body.code === 'job_ended' && told;
    });
    expect(answer.status).toBe(409);
  });
});

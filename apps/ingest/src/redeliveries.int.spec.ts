import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { defaultTenant, IdentityPayloadCodec, topics } from '@millrace/contracts';
import { createPool, TenantDatabase, type Pool } from '@millrace/postgres';
import { SilentLogger } from '@millrace/runtime';
import type { KafkaReader, ReadMessage } from '@millrace/testing';

import { PostgresRedeliveries } from './adapters/postgres-redeliveries.ts';
import { RedeliveryPass } from './redelivery-pass.ts';
import { RunningIngest, until, type Answer, type Json } from './running-ingest.fixture.ts';

jest.setTimeout(60_000);

const adminKey = `mra_${'o'.repeat(43)}`;
const minuteMs = 60_000;

let ingest: RunningIngest;
let finished: KafkaReader;
/** Of a second replica, which shares the database and nothing else. */
let pool: Pool;

beforeAll(async () => {
  ingest = await RunningIngest.start({ MILLRACE_ADMIN_API_KEY: adminKey });
  finished = await ingest.reader(topics.jobsFinished);
});

afterAll(async () => {
  await finished?.stop();
  await pool?.end();
  await ingest?.stop();
});

const ago = (ms: number) => new Date(Date.now() - ms).toISOString();
const dataOf = (message: ReadMessage | undefined): Json =>
  JSON.parse(message?.value?.toString('utf8') ?? 'null');
const of = (id: string) => finished.messages.filter(({ key }) => key?.toString() === id);
const job = async (id: string): Promise<Json> => (await ingest.call('GET', `/v1/jobs/${id}`)).body;

const start = (body: object, headers: Record<string, string> = {}): Promise<Answer> =>
  ingest.call('POST', '/v1/redeliveries', { body, headers });

/** Nobody takes a step before so long from now. */
const pace = (ahead: string) =>
  ingest.admin.query('UPDATE ingest.redelivery_pace SET stepped_at = now() + $1::interval', [
    ahead,
  ]);

async function whenDone(id: string): Promise<Json> {
  return until(async () => {
    const { body } = await ingest.call('GET', `/v1/redeliveries/${id}`);
    return body.state === 'done' && body;
  });
}

/** Hands a job over, and ends it as its runner would. @returns the end that was told. */
async function endedJob(
  id: string,
  { key = id, ...end }: { readonly key?: string; readonly [field: string]: unknown },
  more: object = {},
): Promise<Json> {
  const submission = { job_id: id, prompt: 'p', metadata: { order: id }, ...more };
  const accepted = await ingest.call('POST', '/v1/jobs', { body: submission });
  expect(accepted.status).toBe(202);
  const data = {
    tenant: 'default',
    job_id: id,
    type: 'message',
    status: 'succeeded',
    model: 'm',
    usage: { input_tokens: 3, output_tokens: 5, service_tier: 'standard' },
    attempts: [],
    metadata: { order: id },
    created_at: accepted.body.created_at,
    finished_at: new Date().toISOString(),
    ...end,
  };
  const event = { type: `millrace.job.${data.status}.v1`, id: `default:${id}:finished`, key };
  await ingest.publish(topics.jobsFinished, { ...event, data, times: 2 });
  await until(async () => (await job(id)).status === data.status);
  return data;
}

/** Ends that were counted, of whatever type and outcome. */
async function counted(): Promise<number> {
  const text = await (await fetch(`${ingest.url}/metrics`)).text();
  return text
    .split('\n')
    .filter((line) => line.startsWith('millrace_jobs_finished_total'))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

describe('a redelivery', () => {
  it('tells each end again as it was told, and changes no job', async () => {
    const callback_url = 'http://127.0.0.1:9/hooks';
    const told = [
      await endedJob(
        'whole',
        {
          result: 'Mills\u0000 stand.',
          message: { id: 'msg_1', content: [{ type: 'text', text: 'Mills\u0000 stand.' }] },
          stand_in: true,
          callback: { url: callback_url },
        },
        { callback_url },
      ),
      await endedJob('by-reference', { message_ref: 'blob_by-reference.1.message' }),
      await endedJob('failed', {
        status: 'failed',
        error: { code: 'retries_exhausted', detail: 'every retry failed' },
      }),
      await endedJob('in-session', { result: 'r', session_id: 's' }, { session_id: 's' }),
    ];
    const shown = () => Promise.all(told.map(({ job_id }) => job(job_id)));
    const before = { jobs: await shown(), counted: await counted() };
    const { body, headers, status } = await start({ since: ago(minuteMs) });
    expect(status).toBe(202);
    expect(headers.get('location')).toBe(`/v1/redeliveries/${body.id}`);
    expect(body).toMatchObject({ state: 'running', published: 0 });
    const done = await whenDone(body.id);
    expect(done.published).toBe(told.length);
    for (const data of told) {
      await finished.waitFor(() => of(data.job_id).length === 3);
      const [first, , again] = of(data.job_id);
      expect(dataOf(again)).toEqual(data);
      const { ce_id, ce_type } = first?.headers ?? {};
      expect(again?.headers).toMatchObject({
        ce_id,
        ce_type,
        ce_source: '/millrace/claude-worker',
        ce_time: data.finished_at,
        ce_subject: data.job_id,
        ce_tenant: 'default',
      });
      const { trace_id } = await job(data.job_id);
      expect(again?.headers['traceparent']).toContain(trace_id);
      expect(again?.headers['millrace-redrive']).toBeUndefined();
    }
    // What comes after them in their partitions has been seen when this has.
    for (const { job_id: key } of told) await endedJob(`after-${key}`, { key });
    expect(await shown()).toEqual(before.jobs);
    expect(await counted()).toBe(before.counted + told.length);
  });

  it('tells again what ingest itself had told: of refused and of waiting jobs', async () => {
    const since = new Date().toISOString();
    const bad = { job_id: 'refused', prompt: 'p', callback_url: 'http://10.0.0.1/' };
    const event = { type: 'millrace.job.submitted.v1', id: 'refused', key: 'refused' };
    await ingest.publish(topics.jobsSubmitted, { ...event, data: bad });
    const later = new Date(Date.now() + 60 * minuteMs).toISOString();
    const waiting = { job_id: 'waiting', prompt: 'p', run_at: later, metadata: { a: 'b' } };
    await ingest.call('POST', '/v1/jobs', { body: waiting });
    await ingest.call('POST', '/v1/jobs/waiting/cancel');
    const both = () => of('refused').length > 0 && of('waiting').length > 0;
    await finished.waitFor(both);
    const { body } = await start({ since });
    expect(await whenDone(body.id)).toMatchObject({ published: 2 });
    for (const id of ['refused', 'waiting']) {
      await finished.waitFor(() => of(id).length === 2);
      const [first, again] = of(id);
      expect(dataOf(again)).toEqual(dataOf(first));
      const { traceparent: _first, ...headers } = first?.headers ?? {};
      expect(again?.headers).toMatchObject(headers);
    }
  });

  it('that nobody goes on with is gone on with by another replica', async () => {
    const data = await endedJob('left', { result: 'r' });
    pool = createPool({ url: ingest.databaseUrl('ingest'), max: 2, applicationName: 'spec' });
    const codec = new IdentityPayloadCodec();
    const own = new TenantDatabase(pool);
    const redeliveries = new PostgresRedeliveries({ pool, own, codec });
    const left = { publish: () => undefined };
    const pass = new RedeliveryPass(redeliveries, left, codec, new SilentLogger());
    pass.start();
    const { body } = await start({ since: data.finished_at });
    expect(await whenDone(body.id)).toMatchObject({ published: 1 });
    await finished.waitFor(() => of('left').length === 3);
    await pass.stop();
    expect(await redeliveries.find(defaultTenant, body.id)).toMatchObject({ state: 'done' });
  });
});

describe('/v1/redeliveries', () => {
  it('answers the same request with the same redelivery, by its key for ever', async () => {
    const since = ago(minuteMs);
    const key = { 'idempotency-key': 'again-1' };
    await pace('1 hour');
    const first = await start({ since }, key);
    expect(first.headers.get('idempotent-replayed')).toBeNull();
    const again = await start({ since });
    expect(again.headers.get('idempotent-replayed')).toBe('true');
    expect(again.body.id).toBe(first.body.id);
    const another = await start({ since: ago(2 * minuteMs) });
    expect(another).toMatchObject({ status: 409, body: { code: 'limit_reached' } });
    await pace('0');
    await whenDone(first.body.id);
    expect((await start({ since }, key)).body).toMatchObject({ id: first.body.id, state: 'done' });
    expect(await start({ since: ago(2 * minuteMs) }, key)).toMatchObject({
      status: 409,
      body: { code: 'idempotency_conflict' },
    });
  });

  it('shows a tenant its own, and nobody else’s', async () => {
    const { body } = await ingest.call('GET', '/v1/redeliveries?limit=1');
    expect(body).toMatchObject({ data: [{ state: 'done' }], next_cursor: expect.any(String) });
    const [{ id }] = body.data;
    const next = await ingest.call('GET', `/v1/redeliveries?cursor=${body.next_cursor}`);
    expect(JSON.stringify(next.body.data)).not.toContain(id);
    const asOther = { asOther: true };
    expect((await ingest.call('GET', '/v1/redeliveries', asOther)).body.data).toEqual([]);
    expect((await ingest.call('GET', `/v1/redeliveries/${id}`, asOther)).status).toBe(404);
    expect((await ingest.call('GET', '/v1/redeliveries/rdl_no')).status).toBe(404);
  });

  it.each([
    ['no time', {}],
    ['a time that is none', { since: 'yesterday' }],
    ['a time of more than 29 days ago', { since: ago(29 * 24 * 60 * minuteMs + minuteMs) }],
    ['a time ahead', { since: ago(-minuteMs) }],
    ['an end before its beginning', { since: ago(minuteMs), until: ago(2 * minuteMs) }],
    ['an end ahead', { since: ago(minuteMs), until: ago(-minuteMs) }],
    ['what is not known', { since: ago(minuteMs), rerun: true }],
  ])('refuses %s', async (_what, body) => {
    expect(await start(body)).toMatchObject({ status: 400, body: { code: 'invalid_request' } });
  });

  it('is not for the operator, who has no jobs', async () => {
    const headers = { authorization: `Bearer ${adminKey}` };
    expect((await start({ since: ago(minuteMs) }, headers)).status).toBe(403);
  });
});

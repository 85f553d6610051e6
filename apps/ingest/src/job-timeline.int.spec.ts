import { createServer, type RequestListener } from 'node:http';

import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import {
  deliveriesPath,
  httpHeaders,
  jobDayOf,
  jobEventsKeptMax,
  timelineSchema,
  topics,
  type JobDelivery,
  type JobFinished,
  type Timeline,
} from '@millrace/contracts';

import { RunningIngest, until, type Json } from './running-ingest.fixture.ts';

jest.setTimeout(60_000);

const internalKey = Buffer.alloc(32, 5).toString('base64url');

let ingest: RunningIngest;
/** What webhook-dispatcher is asked, and how it answers. */
let asked: URL[] = [];
let answer: RequestListener;

const dispatcher = createServer((request, response) => {
  asked.push(new URL(request.url ?? '', 'http://dispatcher'));
  if (request.headers[httpHeaders.internalKey] === internalKey) answer(request, response);
  else response.writeHead(401).end();
});

beforeAll(async () => {
  await new Promise<void>((resolve) => dispatcher.listen(0, '127.0.0.1', resolve));
  const address = dispatcher.address();
  if (address === null || typeof address === 'string') throw new Error('not listening');
  ingest = await RunningIngest.start({
    MILLRACE_DISPATCHER_URL: `http://127.0.0.1:${address.port}`,
    MILLRACE_INTERNAL_KEY: internalKey,
  });
});

beforeEach(() => {
  asked = [];
  answer = deliveries([]);
});

afterAll(async () => {
  dispatcher.closeAllConnections();
  dispatcher.close();
  await ingest?.stop();
});

function deliveries(told: readonly JobDelivery[]): RequestListener {
  return (_, response) => response.end(JSON.stringify({ deliveries: told }));
}

async function submit(body: object): Promise<Json> {
  return (await ingest.call('POST', '/v1/jobs', { body })).body;
}

async function timelineOf(id: string): Promise<Timeline> {
  const { status, body } = await ingest.call('GET', `/v1/jobs/${id}/timeline`);
  expect(status).toBe(200);
  return timelineSchema.parse(body);
}

const kindsOf = ({ events }: Timeline) => events.map(({ kind }) => kind);

/** The timeline once it has this many events. */
const timelineWith = (id: string, events: number) =>
  until(async () => {
    const timeline = await timelineOf(id);
    return timeline.events.length >= events && timeline;
  });

/** A moment after the job was accepted. */
const after = (job: Json, ms: number) => new Date(Date.parse(job.created_at) + ms).toISOString();

/** Each record is published twice. */
function progress(job: Json, data: object): Promise<void> {
  return ingest.publish(topics.jobsProgressed, {
    type: 'millrace.job.progressed.v1',
    id: `default:${job.id}:progressed`,
    key: job.id,
    data: { tenant: 'default', job_id: job.id, created_at: job.created_at, ...data },
    times: 2,
  });
}

function attempt(job: Json, number: number, more: object = {}) {
  return {
    number,
    outcome: 'failed',
    code: 'api_error',
    http_status: 500,
    request_id: `req_${number}`,
    started_at: after(job, number * 10),
    ended_at: after(job, number * 10 + 5),
    ...more,
  };
}

function finish(job: Json, more: Partial<JobFinished> = {}): Promise<void> {
  return ingest.publish(topics.jobsFinished, {
    type: `millrace.job.${more.status ?? 'succeeded'}.v1`,
    id: `default:${job.id}:finished`,
    key: job.id,
    data: {
      tenant: 'default',
      job_id: job.id,
      type: 'message',
      status: 'succeeded',
      model: 'claude-sonnet-5-5',
      result: 'Hello there',
      usage: { input_tokens: 3, output_tokens: 2 },
      attempts: [],
      created_at: job.created_at,
      finished_at: after(job, 3_000),
      ...more,
    },
    times: 2,
  });
}

describe('GET /v1/jobs/{id}/timeline', () => {
  it('tells a job from its acceptance to its end, though every record comes twice', async () => {
    const job = await submit({ prompt: 'a' });
    expect(await timelineOf(job.id)).toEqual({
      job_id: job.id,
      status: 'queued',
      trace_id: job.trace_id,
      events: [
        { kind: 'accepted', at: job.created_at, via: 'http' },
        { kind: 'released', at: job.created_at },
      ],
      truncated: false,
      incomplete: [],
    });
    const first = attempt(job, 1);
    await progress(job, { kind: 'attempt', attempt: first });
    const failedOnce = await timelineWith(job.id, 3);
    expect(failedOnce.status).toBe('queued');
    expect(failedOnce.events[2]).toEqual({ kind: 'attempt', at: first.ended_at, attempt: first });
    const at = after(job, 1_020);
    await progress(job, { kind: 'running', status: 'running', attempt: 2, at });
    const running = await timelineWith(job.id, 4);
    expect(running.events[3]).toEqual({ kind: 'running', at, attempt: 2 });
    const ended_at = after(job, 3_000);
    const second = attempt(job, 2, { outcome: 'succeeded', http_status: 200, ended_at });
    await finish(job, { attempts: [first, second] as JobFinished['attempts'] });
    const ended = await timelineWith(job.id, 6);
    expect(ended.status).toBe('succeeded');
    expect(kindsOf(ended)).toEqual([
      'accepted',
      'released',
      'attempt',
      'running',
      'attempt',
      'ended',
    ]);
    expect(ended.events.slice(-2)).toEqual([
      { kind: 'attempt', at: ended_at, attempt: second },
      {
        kind: 'ended',
        at: ended_at,
        status: 'succeeded',
        model: 'claude-sonnet-5-5',
        usage: { input_tokens: 3, output_tokens: 2 },
      },
    ]);
  });

  it('takes a record of an older release, which has no kind, for a job that runs', async () => {
    const job = await submit({ prompt: 'a' });
    await progress(job, { status: 'running', attempt: 1, at: after(job, 1_000) });
    await until(async () => (await timelineOf(job.id)).status === 'running');
    const timeline = await timelineWith(job.id, 3);
    expect(kindsOf(timeline).at(-1)).toBe('running');
  });

  it('has one wish to cancel, the first, however often it is said', async () => {
    const job = await submit({ prompt: 'a' });
    await ingest.call('POST', `/v1/jobs/${job.id}/cancel`);
    const [, , wish] = (await timelineOf(job.id)).events;
    await ingest.call('POST', `/v1/jobs/${job.id}/cancel`);
    await finish(job, { status: 'cancelled', error: { code: 'cancelled', detail: 'it was' } });
    const ended = await timelineWith(job.id, 4);
    expect(wish?.kind).toBe('cancel_requested');
    expect(ended.events[2]).toEqual(wish);
    expect(ended.events[3]).toMatchObject({ status: 'cancelled', error: { code: 'cancelled' } });
  });

  it('has the release of a job with a time of its own when that has come', async () => {
    const run_at = new Date(Date.now() + 1_000).toISOString();
    const job = await submit({ prompt: 'a', run_at });
    expect(kindsOf(await timelineOf(job.id))).toEqual(['accepted']);
    const timeline = await timelineWith(job.id, 2);
    expect(timeline.events[1]?.kind).toBe('released');
    expect(Date.parse(timeline.events[1]!.at)).toBeGreaterThanOrEqual(Date.parse(run_at));
  });

  it('has the wish that ends a job which waits, and no release', async () => {
    const run_at = new Date(Date.now() + 3_600_000).toISOString();
    const job = await submit({ prompt: 'a', run_at });
    await ingest.call('POST', `/v1/jobs/${job.id}/cancel`);
    const timeline = await timelineWith(job.id, 3);
    expect(kindsOf(timeline)).toEqual(['accepted', 'cancel_requested', 'ended']);
  });

  it('keeps so many events of a job and no more, and says so', async () => {
    const job = await submit({ prompt: 'a' });
    const numbers = Array.from({ length: jobEventsKeptMax + 20 }, (_, n) => n + 1);
    await Promise.all(
      numbers.map((n) => progress(job, { kind: 'attempt', attempt: attempt(job, n) })),
    );
    const timeline = await timelineWith(job.id, jobEventsKeptMax + 2);
    expect([timeline.events.length, timeline.truncated]).toEqual([jobEventsKeptMax + 2, true]);
    const { rows } = await ingest.admin.query(
      'SELECT count(*)::int AS n FROM ingest.job_events WHERE job_id = $1',
      [job.id],
    );
    expect(rows[0].n).toBe(jobEventsKeptMax);
  });

  it('is not there for another tenant, nor for a job that never was', async () => {
    const job = await submit({ job_id: 'private', prompt: 'a' });
    await progress(job, { kind: 'attempt', attempt: attempt(job, 1) });
    await timelineWith(job.id, 3);
    const asOther = await ingest.call('GET', '/v1/jobs/private/timeline', { asOther: true });
    expect([asOther.status, asOther.body.code]).toEqual([404, 'not_found']);
    expect((await ingest.call('GET', '/v1/jobs/nobody/timeline')).status).toBe(404);
    expect((await ingest.call('GET', '/v1/jobs/a%20b/timeline')).status).toBe(404);
  });
});

describe('the webhooks of a timeline', () => {
  const delivery = (job: Json): JobDelivery => ({
    webhook_id: 'msg_1',
    state: 'waiting',
    next_attempt_at: after(job, 9_000),
    attempts: [
      {
        number: 1,
        outcome: 'retry',
        class: 'timeout',
        started_at: after(job, 3_010),
        ended_at: after(job, 4_010),
        timings_ms: { connect: 1.5, total: 1_000 },
      },
    ],
  });

  it('are asked for by tenant, job and day, and come after the end', async () => {
    const job = await submit({ job_id: 'a..b:c', prompt: 'a' });
    answer = deliveries([delivery(job)]);
    await finish(job);
    const timeline = await timelineWith(job.id, 4);
    expect(timeline.events.at(-1)).toEqual({
      kind: 'delivery_attempt',
      at: after(job, 4_010),
      webhook_id: 'msg_1',
      attempt: delivery(job).attempts[0],
      next_attempt_at: after(job, 9_000),
    });
    expect(timeline.incomplete).toEqual([]);
    const [request] = asked;
    expect(request?.pathname).toBe(deliveriesPath);
    expect(Object.fromEntries(request!.searchParams)).toEqual({
      tenant: 'default',
      job_id: 'a..b:c',
      day: jobDayOf(job.created_at),
    });
  });

  it.each<[string, RequestListener]>([
    ['is away', (_, response) => response.destroy()],
    ['does not let us in', (_, response) => response.writeHead(401).end('{}')],
    ['fails', (_, response) => response.writeHead(500).end('{"deliveries": []}')],
    ['points elsewhere', (_, response) => response.writeHead(302, { location: '/x' }).end()],
    ['says something else', (_, response) => response.end('{"deliveries": 1}')],
    ['says nothing', (_, response) => response.end()],
    ['says too much', (_, response) => response.end(`{"x": "${'x'.repeat(2 * 1024 * 1024)}"}`)],
    ['is silent', () => undefined],
    ['drips', (_, response) => void setInterval(() => response.write(' '), 200).unref()],
  ])('are missing, and it says so, when webhook-dispatcher %s', async (_, says) => {
    const job = await submit({ prompt: 'a' });
    answer = says;
    const beganAt = performance.now();
    const timeline = await timelineOf(job.id);
    expect(timeline.incomplete).toEqual(['webhook-dispatcher']);
    expect(kindsOf(timeline)).toEqual(['accepted', 'released']);
    expect(performance.now() - beganAt).toBeLessThan(10_000);
  });
});

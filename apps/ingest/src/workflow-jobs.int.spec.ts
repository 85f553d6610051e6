import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { topics, workflowRequestedSchema, type WorkflowRequested } from '@millrace/contracts';
import type { KafkaReader } from '@millrace/testing';

import { RunningIngest, until, type Json } from './running-ingest.fixture.ts';

jest.setTimeout(60_000);

let ingest: RunningIngest;
let requests: KafkaReader;

beforeAll(async () => {
  ingest = await RunningIngest.start();
  requests = await ingest.reader(topics.workflowsRequested);
});

afterAll(async () => {
  await requests?.stop();
  await ingest?.stop();
});

const messages = [{ role: 'user', content: 'plan' }];

function submit(body: object) {
  return ingest.call('POST', '/v1/jobs', { body });
}

async function jobOf(id: string): Promise<Json> {
  return (await ingest.call('GET', `/v1/jobs/${id}`)).body;
}

/** What the orchestrator is asked for a job. */
async function requestOf(id: string): Promise<WorkflowRequested> {
  const isOfJob = ({ headers }: { headers: Readonly<Record<string, string>> }) =>
    headers['ce_subject'] === id;
  const all = await requests.waitFor((found) => found.some(isOfJob));
  return workflowRequestedSchema.parse(JSON.parse(String(all.find(isOfJob)?.value)));
}

/** Each record is published twice. */
function tell(job: Json, version: number, status: string): Promise<void> {
  return ingest.publish(topics.jobsProgressed, {
    type: 'millrace.job.progressed.v1',
    id: `default:${job.id}:status:${version}`,
    key: job.id,
    data: {
      kind: 'status',
      tenant: 'default',
      job_id: job.id,
      created_at: job.created_at,
      status,
      version,
      at: new Date().toISOString(),
    },
    times: 2,
  });
}

function finish(job: Json, more: object = {}): Promise<void> {
  return ingest.publish(topics.jobsFinished, {
    type: 'millrace.job.succeeded.v1',
    id: `default:${job.id}:finished`,
    key: job.id,
    data: {
      tenant: 'default',
      job_id: job.id,
      type: 'agent',
      status: 'succeeded',
      result: 'done',
      attempts: [],
      created_at: job.created_at,
      finished_at: new Date().toISOString(),
      ...more,
    },
    times: 2,
  });
}

const statusIs = (id: string, status: string) =>
  until(async () => (await jobOf(id)).status === status);

describe('an agent that is handed over', () => {
  it('is asked for with its parameters, lane, budget and its latest end', async () => {
    const complete_by = new Date(Date.now() + 3_600_000).toISOString();
    const answer = await submit({
      type: 'agent',
      params: { messages, tools: ['look'], stream: true, untrusted: true },
      lane: 'bulk',
      budget: { usd: 2, on_reached: 'park' },
      session_id: 'trip',
      complete_by,
    });
    expect(answer.status).toBe(202);
    expect(answer.body).toMatchObject({ type: 'agent', status: 'queued', session_id: 'trip' });
    expect(await requestOf(answer.body.id)).toMatchObject({
      type: 'agent',
      lane: 'bulk',
      stream: true,
      tainted: true,
      budget: { usd: 2, on_reached: 'park' },
      session_id: 'trip',
      complete_by,
      params: { messages, tools: ['look'], model: 'claude-sonnet-5-5' },
      reply: { kind: 'job', created_at: answer.body.created_at },
    });
  });

  it.each([
    ['a message with a budget', { prompt: 'p', budget: { usd: 1 } }, 400, 'budget'],
    ['a budget of nothing', { type: 'agent', prompt: 'p', budget: { usd: 0 } }, 400, 'budget.usd'],
    [
      'tools that are no names',
      { type: 'agent', params: { messages, tools: [1] } },
      400,
      'params.tools.0',
    ],
    [
      'a sampling parameter',
      { type: 'agent', params: { messages, temperature: 1 } },
      422,
      'params.temperature',
    ],
    ['a document that is a prompt', { type: 'document', prompt: 'p' }, 400, 'prompt'],
    [
      'a document at an address that may not be asked',
      { type: 'document', params: { document: { url: 'http://10.0.0.1/' }, prompt: 'p' } },
      400,
      'params.document.url',
    ],
  ])('is refused with %s, alone and in a batch', async (_what, body, status, path) => {
    const alone = await submit(body);
    expect([alone.status, alone.body.errors[0].path]).toEqual([status, path]);
    const batch = await ingest.call('POST', '/v1/jobs:batch', { body: { jobs: [body] } });
    const [result] = batch.body.results;
    expect([result.status, result.error.errors[0].path]).toEqual([status, path]);
  });

  it('comes by Kafka as well, and a bad one ends as a failed job', async () => {
    const publish = (data: Json) =>
      ingest.publish(topics.jobsSubmitted, {
        type: 'millrace.job.submitted.v1',
        id: data.job_id,
        key: data.job_id,
        data,
        times: 2,
      });
    const document = { id: 'doc_1' };
    await publish({ job_id: 'kafka-doc', type: 'document', params: { document, prompt: 'p' } });
    await publish({ job_id: 'kafka-bad', type: 'agent', params: { messages, tools: ['a', 'a'] } });
    expect(await requestOf('kafka-doc')).toMatchObject({
      type: 'document',
      stream: true,
      params: { document, prompt: 'p', chunk_tokens: 8_000 },
    });
    const failed = await until(async () => {
      const { status, body } = await ingest.call('GET', '/v1/jobs/kafka-bad');
      return status === 200 && body;
    });
    expect(failed).toMatchObject({ type: 'agent', status: 'failed' });
    expect(failed.error).toMatchObject({ code: 'invalid_request' });
    expect(failed.error.detail).toContain('params.tools.1');
  });
});

describe('the status of an agent', () => {
  it('follows the highest version, in whatever order and however often it is told', async () => {
    const { body: job } = await submit({ type: 'agent', prompt: 'p' });
    await tell(job, 1, 'running');
    await statusIs(job.id, 'running');
    await tell(job, 4, 'awaiting_approval');
    await tell(job, 3, 'running');
    await tell(job, 2, 'awaiting_signal');
    await statusIs(job.id, 'awaiting_approval');
    const list = async (status: string): Promise<Json[]> =>
      (await ingest.call('GET', `/v1/jobs?status=${status}`)).body.data;
    expect((await list('awaiting_approval')).map(({ id }) => id)).toContain(job.id);
    expect((await list('running')).map(({ id }) => id)).not.toContain(job.id);
    // What comes after them in the same topic has come, so they were looked at.
    await tell(job, 5, 'awaiting_budget');
    await statusIs(job.id, 'awaiting_budget');
  });

  it('that comes after its end changes nothing, and the end says what was spent', async () => {
    const { body: job } = await submit({ type: 'agent', prompt: 'p' });
    const spent = { usd: 0.25, tokens: 900, iterations: 3, tool_calls: 2 };
    await finish(job, { spent });
    await statusIs(job.id, 'succeeded');
    const { body: other } = await submit({ type: 'agent', prompt: 'p' });
    await tell(job, 9, 'running');
    await tell(other, 1, 'awaiting_signal');
    await statusIs(other.id, 'awaiting_signal');
    expect(await jobOf(job.id)).toMatchObject({ status: 'succeeded', result: 'done', spent });
    const { body: timeline } = await ingest.call('GET', `/v1/jobs/${job.id}/timeline`);
    const events: Json[] = timeline.events;
    expect(events.map(({ kind }) => kind)).toEqual(['accepted', 'released', 'ended']);
  });

  it('is told of one tenant\'s job only', async () => {
    const { body: job } = await submit({ type: 'agent', prompt: 'p', job_id: 'same-name' });
    const asOther = { body: { type: 'agent', prompt: 'p', job_id: 'same-name' }, asOther: true };
    expect((await ingest.call('POST', '/v1/jobs', asOther)).status).toBe(202);
    await tell(job, 1, 'awaiting_approval');
    await statusIs(job.id, 'awaiting_approval');
    const { body } = await ingest.call('GET', '/v1/jobs/same-name', { asOther: true });
    expect(body.status).toBe('queued');
  });
});

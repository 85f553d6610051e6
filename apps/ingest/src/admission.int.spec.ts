import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { topics, type ClaudeBacklog } from '@millrace/contracts';
import type { KafkaReader } from '@millrace/testing';

import { RunningIngest, until } from './running-ingest.fixture.ts';

jest.setTimeout(60_000);

const idle = { waiting: 0, oldest_ms: {}, tenants: [] };
const lateMs = 600_000;

let ingest: RunningIngest;
let requested: KafkaReader;
let told = 0;
let sent = 0;

beforeAll(async () => {
  ingest = await RunningIngest.start({ ADMISSION_TENANT_WAITING_MAX: '100' });
  requested = await ingest.reader(topics.claudeRequested);
});

beforeEach(() => tell(idle, 202));

afterAll(async () => {
  await requested?.stop();
  await ingest?.stop();
});

function post(more: object = {}) {
  sent += 1;
  const body = { job_id: `load-${sent}`, prompt: 'a', ...more };
  return ingest.call('POST', '/v1/jobs', { body });
}

/** Tells of a backlog as claude-worker does, until an ordinary job is answered with `status`. */
async function tell(backlog: Omit<ClaudeBacklog, 'counted_at'>, status: number): Promise<void> {
  await until(async () => {
    told += 1;
    await ingest.publish(topics.claudeBacklog, {
      type: 'millrace.claude.backlog.v1',
      id: `backlog-${told}`,
      key: 'worker',
      data: { counted_at: new Date().toISOString(), ...backlog },
    });
    return (await post()).status === status;
  });
}

const full = { waiting: 100, oldest_ms: {}, tenants: [{ tenant: 'default', waiting: 100 }] };
const late = { waiting: 1, oldest_ms: { standard: lateMs }, tenants: [] };

/** Names of tenants are branded: a spec's are plain. */
function backlogOf(data: object): Omit<ClaudeBacklog, 'counted_at'> {
  return { ...idle, ...data };
}

describe('a tenant whose queue is full', () => {
  it('gets 429 and a time to come again; another tenant is served', async () => {
    await tell(backlogOf(full), 429);
    const refused = await post();
    expect([refused.status, refused.body.code]).toEqual([429, 'queue_full']);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(10);
    const body = { prompt: 'a' };
    const other = await ingest.call('POST', '/v1/jobs', { body, asOther: true });
    expect(other.status).toBe(202);
  });

  it('is still answered for what it had handed over before', async () => {
    const headers = { 'idempotency-key': 'before-the-rush' };
    const body = { prompt: 'kept' };
    const before = await ingest.call('POST', '/v1/jobs', { body, headers });
    expect(before.status).toBe(202);
    await tell(backlogOf(full), 429);
    const again = await ingest.call('POST', '/v1/jobs', { body, headers });
    expect([again.status, again.body.id]).toEqual([202, before.body.id]);
    expect(again.headers.get('idempotent-replayed')).toBe('true');
    const changed = { prompt: 'changed' };
    const conflict = await ingest.call('POST', '/v1/jobs', { body: changed, headers });
    expect(conflict.body.code).toBe('idempotency_conflict');
    const known = await ingest.call('POST', '/v1/jobs', {
      body: { job_id: before.body.id, prompt: 'kept' },
    });
    expect(known.status).toBe(202);
  });
});

describe('calls that wait too long', () => {
  it('shut the door for their lane by every way in, and not for urgent work', async () => {
    await tell(late, 503);
    const refused = await post();
    expect(refused.body.code).toBe('overloaded');
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(15);
    expect((await post({ lane: 'bulk' })).status).toBe(503);
    expect((await post({ lane: 'interactive' })).status).toBe(202);
    const jobs = [
      { job_id: 'batch-slow', prompt: 'a' },
      { job_id: 'batch-fast', prompt: 'a', lane: 'interactive' },
    ];
    const batch = await ingest.call('POST', '/v1/jobs:batch', { body: { jobs } });
    expect(JSON.stringify(batch.body.results[0])).toContain('overloaded');
    expect(JSON.stringify(batch.body.results[1])).not.toContain('overloaded');
    const metrics = await (await fetch(`${ingest.url}/metrics`)).text();
    expect(metrics).toMatch(/admission_refused_total{reason="platform_age",via="http"} \d+/);
  });

  it('let records wait in their topic, in order, until there is room', async () => {
    await tell(late, 503);
    const submit = (id: string) =>
      ingest.publish(topics.jobsSubmitted, {
        type: 'millrace.job.submitted.v1',
        id,
        key: 'k',
        data: { type: 'message', job_id: id, prompt: 'a' },
      });
    await submit('record-1');
    await until(async () => {
      const metrics = await (await fetch(`${ingest.url}/metrics`)).text();
      return /admission_refused_total{reason="platform_age",via="kafka"} \d+/.test(metrics);
    });
    await submit('record-2');
    expect((await ingest.call('GET', '/v1/jobs/record-1')).status).toBe(404);
    expect((await fetch(`${ingest.url}/healthz`)).status).toBe(200);
    await tell(idle, 202);
    const ids = () => requested.messages.map(({ headers }) => String(headers['ce_subject']));
    await requested.waitFor(() => ids().includes('record-2'));
    expect(ids().filter((id) => id.startsWith('record-'))).toEqual(['record-1', 'record-2']);
  });
});

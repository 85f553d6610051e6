import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';

import { WebhookReceiver } from './receivers/webhook-receiver.ts';
import {
  consume,
  ended,
  findJob,
  pidOf,
  produce,
  stack,
  submit,
  uniqueId,
  until,
  type ConsumedRecord,
} from './running-stack.ts';

jest.setTimeout(240_000);

const jobsByKafka = 50;
const jobsByHttp = 25;
/** A crash costs a call its lease and one more dispatch; Kafka needs some seconds to come back. */
const endedWithinMs = 120_000;

describe('kill -9 in the middle of 100 jobs', () => {
  let receiver: WebhookReceiver;
  beforeAll(async () => {
    receiver = await WebhookReceiver.listen();
  });
  afterAll(() => receiver.close());

  it.each(['claude-worker', 'kafka'])('of %s: every job ends exactly once', async (victim) => {
    const finished = await consume('jobs.finished.v1');
    const mark = uniqueId(victim);
    const path = `/${mark}`;
    const callback = receiver.url(path);
    const fromKafka = Array.from({ length: jobsByKafka }, () => uniqueId('kill-kafka'));
    await produce(
      'jobs.submitted.v1',
      fromKafka.map((jobId) => ({
        key: jobId,
        value: body(jobId, { mark, callback }),
        headers: { ce_id: jobId, ce_type: 'millrace.job.submitted.v1', ce_source: 'e2e' },
      })),
    );
    const beforeKill = await submitSome(mark, callback);
    const running = await until('the first call', 20_000, async () => {
      const statuses = (await Promise.all(beforeKill.map(findJob))).map((job) => job?.status);
      return (await callsAsked(mark)) > 0 && statuses.filter((status) => status === 'queued');
    });
    // A story about the middle: most of the work is still open when the process dies.
    expect(running.length).toBeGreaterThan(beforeKill.length / 2);
    kill(victim);
    const afterKill = await submitSome(mark, callback);
    const all = [...fromKafka, ...beforeKill, ...afterKill];

    const jobs = await Promise.all(all.map((id) => ended(id, endedWithinMs)));
    expect(countBy(jobs.map((job) => job.status))).toEqual({ succeeded: 100 });
    await until('every webhook', 60_000, () => new Set(jobIds(receiver, path)).size === 100);
    const terminal = await until('every terminal event', 60_000, () => {
      const events = finished.records.filter((record) => all.includes(record.key ?? ''));
      return new Set(events.map((event) => event.key)).size === 100 ? events : undefined;
    });
    await finished.stop();
    // A crash may send an event or a webhook twice: always the same one, under the same id.
    expect(new Set(terminal.map(endOf)).size).toBe(100);
    const webhooks = receiver.at(path);
    expect(new Set(webhooks.map((webhook) => webhook.headers['webhook-id'])).size).toBe(100);
    expect(new Set(webhooks.map((webhook) => webhook.body)).size).toBe(100);
    // Each call that was sent stands in the ledger as an attempt.
    const attempts = jobs.reduce((sum, job) => sum + (job.attempts?.length ?? 0), 0);
    expect(await callsAsked(mark)).toBeLessThanOrEqual(attempts);
  });
});

function kill(victim: string): void {
  const pid = pidOf(victim);
  if (pid === undefined) throw new Error(`${victim} is not running`);
  process.kill(pid, 'SIGKILL');
}

/** Hands jobs over by HTTP, which goes on while a service or Kafka is down. */
async function submitSome(mark: string, callback: string): Promise<string[]> {
  const job = { params: paramsOf(mark), callback_url: callback };
  const jobs = await Promise.all(Array.from({ length: jobsByHttp }, () => submit(job)));
  return jobs.map(({ id }) => id);
}

/** Streamed answers take their time: the stand-in writes them as a model does. */
function paramsOf(mark: string): object {
  const messages = [{ role: 'user', content: `Think for a moment, and then write. ${mark}` }];
  return { stream: true, max_tokens: 512, messages };
}

function body(jobId: string, { mark, callback }: { mark: string; callback: string }): string {
  return JSON.stringify({ job_id: jobId, params: paramsOf(mark), callback_url: callback });
}

/** What an end says, so that two different ends of one job are two. */
function endOf(event: ConsumedRecord): string {
  const data: { finished_at: string } = JSON.parse(event.value?.toString() ?? '');
  return [event.key, event.headers['ce_id'], event.headers['ce_type'], data.finished_at].join(' ');
}

/** How many calls with this mark the stand-in was asked: it keeps the last 1,000. */
async function callsAsked(mark: string): Promise<number> {
  const journal = await fetch(`${stack.claudeUrl}/__aimock/journal`);
  const entries: unknown[] = JSON.parse(await journal.text());
  return entries.filter((entry) => JSON.stringify(entry).includes(mark)).length;
}

function jobIds(receiver: WebhookReceiver, path: string): string[] {
  return receiver.at(path).map((webhook) => webhook.jobId);
}

function countBy(values: string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1;
  return counts;
}

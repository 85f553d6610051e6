import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';

import { WebhookReceiver } from './receivers/webhook-receiver.ts';
import { consume, ended, pidOf, produce, submit, uniqueId, until } from './running-stack.ts';

jest.setTimeout(240_000);

const jobsPerWay = 50;
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
    const path = `/${uniqueId(victim)}`;
    const callback = receiver.url(path);
    const fromKafka = Array.from({ length: jobsPerWay }, () => uniqueId('kill-kafka'));
    await produce(
      'jobs.submitted.v1',
      fromKafka.map((jobId) => ({ key: jobId, value: body(jobId, callback) })),
    );
    const fromHttp = await Promise.all(
      Array.from({ length: jobsPerWay }, () =>
        submit({ prompt: 'Think for a moment.', callback_url: callback }),
      ),
    );
    const all = [...fromKafka, ...fromHttp.map((job) => job.id)];

    await killInTheMiddle(victim);

    const jobs = await Promise.all(all.map((id) => ended(id, endedWithinMs)));
    expect(countBy(jobs.map((job) => job.status))).toEqual({ succeeded: 100 });
    await until('every webhook', 60_000, () => new Set(jobIds(receiver, path)).size === 100);
    const terminal = await until('every terminal event', 60_000, () => {
      const events = finished.records.filter((record) => all.includes(record.key ?? ''));
      return new Set(events.map((event) => event.key)).size === 100 ? events : undefined;
    });
    await finished.stop();
    // A crash may send an event or a webhook twice, always under the id it had before.
    expect(new Set(terminal.map((event) => event.headers['ce_id'])).size).toBe(100);
    const webhookIds = receiver.at(path).map((webhook) => webhook.headers['webhook-id']);
    expect(new Set(webhookIds).size).toBe(100);
  });
});

async function killInTheMiddle(victim: string): Promise<void> {
  const pid = pidOf(victim);
  if (pid === undefined) throw new Error(`${victim} is not running`);
  process.kill(pid, 'SIGKILL');
  await until(`${victim} to be restarted`, 60_000, () => {
    const now = pidOf(victim);
    return now !== undefined && now !== pid;
  });
}

function body(jobId: string, callback: string): string {
  return JSON.stringify({ job_id: jobId, prompt: 'Think for a moment.', callback_url: callback });
}

function jobIds(receiver: WebhookReceiver, path: string): string[] {
  return receiver.at(path).map((webhook) => webhook.jobId);
}

function countBy(values: string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1;
  return counts;
}

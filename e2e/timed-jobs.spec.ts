import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { WebhookReceiver } from './receivers/webhook-receiver.ts';
import {
  consume,
  ended,
  request,
  stack,
  submit,
  uniqueId,
  until,
  type ConsumedRecord,
} from './running-stack.ts';

/** Every attempt fails: the job would wait for its next one for longer than it has time. */
const failing = '[[fault:500 times=6]]';

describe('a job with a time of its own', () => {
  let receiver: WebhookReceiver;
  let finished: { records: ConsumedRecord[]; stop: () => Promise<void> };
  beforeAll(async () => {
    receiver = await WebhookReceiver.listen();
    finished = await consume('jobs.finished.v1');
  });
  afterAll(async () => {
    await finished.stop();
    await receiver.close();
  });

  const ahead = (ms: number): string => new Date(Date.now() + ms).toISOString();

  /** What the webhook and the topic say of how a job ended. */
  async function told(id: string, path: string): Promise<{ webhook: string; topic: string[] }> {
    await until('the webhook', 20_000, () => receiver.at(path).length > 0);
    const events = await until('the event', 20_000, () => {
      const found = finished.records.filter(({ key }) => key === id);
      return found.length > 0 ? found : undefined;
    });
    return {
      webhook: JSON.parse(receiver.at(path)[0]?.body ?? '').status,
      topic: [...new Set(events.map(({ headers }) => headers['ce_type'] ?? ''))],
    };
  }

  it('waits for its run_at, and runs then', async () => {
    const runAt = ahead(3_000);
    const mark = uniqueId('later');
    const job = await submit({ prompt: `Not before its time. ${mark}`, run_at: runAt });
    expect(job).toMatchObject({ status: 'queued', run_at: runAt });
    expect(await isAsked(mark)).toBe(false);
    const done = await ended(job.id);
    expect(done).toMatchObject({ status: 'succeeded', run_at: runAt });
    expect(Date.parse(done.finished_at ?? '')).toBeGreaterThanOrEqual(Date.parse(runAt));
  });

  it('is cancelled at once while it waits, at any replica, and everybody is told', async () => {
    const path = `/${uniqueId('waiting')}`;
    const { id } = await submit({
      prompt: 'Never.',
      run_at: ahead(3_600_000),
      callback_url: receiver.url(path),
    });
    for (const url of [...stack.apiUrls].reverse()) {
      const response = await fetch(`${url}/v1/jobs/${id}/cancel`, {
        method: 'POST',
        headers: { authorization: `Bearer ${stack.apiKey}` },
      });
      expect(response.status).toBe(202);
      expect(JSON.parse(await response.text())).toMatchObject({ id, status: 'cancelled' });
    }
    expect(await ended(id)).toMatchObject({ status: 'cancelled', attempts: [] });
    expect(await told(id, path)).toEqual({
      webhook: 'cancelled',
      topic: ['millrace.job.cancelled.v1'],
    });
  });

  it('expires when it has not ended by its complete_by', async () => {
    const path = `/${uniqueId('expired')}`;
    const { id } = await submit({
      prompt: `Fail for a while. ${path} ${failing}`,
      complete_by: ahead(3_000),
      callback_url: receiver.url(path),
    });
    const job = await ended(id);
    expect(job).toMatchObject({ status: 'expired', error: { code: 'deadline_exceeded' } });
    expect(await told(id, path)).toEqual({
      webhook: 'expired',
      topic: ['millrace.job.expired.v1'],
    });
  });

  it('is refused when it would have to end before it may begin', async () => {
    const response = await request('/v1/jobs', {
      method: 'POST',
      body: JSON.stringify({ prompt: 'p', run_at: ahead(9_000), complete_by: ahead(5_000) }),
    });
    expect(response.status).toBe(400);
    expect(JSON.parse(await response.text())).toMatchObject({
      code: 'invalid_request',
      errors: [{ path: 'complete_by' }],
    });
  });
});

async function isAsked(mark: string): Promise<boolean> {
  const journal = await fetch(`${stack.claudeUrl}/stand-in/requests`);
  return (await journal.text()).includes(mark);
}

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

/** Every attempt fails: for some seconds the job waits for its next one, and is cancelled then. */
const failing = '[[fault:500 times=6]]';

describe('a job that is cancelled', () => {
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

  it('stops, and the API, the topic and the webhook say so', async () => {
    const mark = uniqueId('cancel');
    const path = `/${mark}`;
    const { id } = await submit({
      prompt: `Fail for a while. ${mark} ${failing}`,
      callback_url: receiver.url(path),
    });
    await until('the first attempt', 20_000, () => isAsked(mark));
    // At another replica than the one that took the job, and twice.
    for (const url of stack.apiUrls) {
      const response = await fetch(`${url}/v1/jobs/${id}/cancel`, {
        method: 'POST',
        headers: { authorization: `Bearer ${stack.apiKey}` },
      });
      expect(response.status).toBe(202);
      expect(JSON.parse(await response.text())).toMatchObject({ id });
    }
    const job = await ended(id);
    expect(job).toMatchObject({ status: 'cancelled', error: { code: 'cancelled' } });
    await until('the webhook', 20_000, () => receiver.at(path).length > 0);
    expect(JSON.parse(receiver.at(path)[0]?.body ?? '')).toMatchObject({
      job_id: id,
      status: 'cancelled',
    });
    const told = await until('the event', 20_000, () => {
      const events = finished.records.filter(({ key }) => key === id);
      return events.length > 0 ? events : undefined;
    });
    expect(new Set(told.map(({ headers }) => headers['ce_type']))).toEqual(
      new Set(['millrace.job.cancelled.v1']),
    );
  });

  it('stays as it ended when the wish comes too late', async () => {
    const { id } = await submit({ prompt: 'Be quick.' });
    await ended(id);
    const response = await request(`/v1/jobs/${id}/cancel`, { method: 'POST' });
    expect(response.status).toBe(202);
    expect(JSON.parse(await response.text())).toMatchObject({ id, status: 'succeeded' });
    expect(await ended(id)).toMatchObject({ status: 'succeeded' });
  });

  it('is nobody else’s: an unknown id is not found', async () => {
    const response = await request(`/v1/jobs/${uniqueId('none')}/cancel`, { method: 'POST' });
    expect(response.status).toBe(404);
    expect(JSON.parse(await response.text())).toMatchObject({ code: 'not_found' });
  });
});

async function isAsked(mark: string): Promise<boolean> {
  const journal = await fetch(`${stack.claudeUrl}/stand-in/requests`);
  return (await journal.text()).includes(mark);
}

import { createHmac } from 'node:crypto';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Webhook as StandardWebhook } from 'standardwebhooks';
import { Webhook as SvixWebhook } from 'svix';

import { WebhookReceiver } from './receivers/webhook-receiver.ts';
import { ended, request, stack, submit, uniqueId, until } from './running-stack.ts';

describe('a job handed over by HTTP', () => {
  let receiver: WebhookReceiver;
  beforeAll(async () => {
    receiver = await WebhookReceiver.listen();
  });
  afterAll(() => receiver.close());

  it('is answered at once, worked on, read back and told to its receiver', async () => {
    const job = await submit({ prompt: 'Say hello.', callback_url: receiver.url('/hello') });
    expect(job.status).toBe('queued');

    const done = await ended(job.id);
    expect(done).toMatchObject({ status: 'succeeded', stand_in: true });
    expect(done.result?.length).toBeGreaterThan(0);

    const [webhook] = await until('the webhook', 10_000, () => nonEmpty(receiver.at('/hello')));
    expect(JSON.parse(webhook?.body ?? '')).toMatchObject({
      job_id: job.id,
      status: 'succeeded',
      result: done.result,
    });
  });

  it('has a webhook that other people’s verifiers accept', async () => {
    const path = `/${uniqueId('verify')}`;
    await submit({ prompt: 'Say hello.', callback_url: receiver.url(path) });
    const [webhook] = await until('the webhook', 20_000, () => nonEmpty(receiver.at(path)));
    if (!webhook) throw new Error('no webhook');
    const headers = {
      'webhook-id': String(webhook.headers['webhook-id']),
      'webhook-timestamp': String(webhook.headers['webhook-timestamp']),
      'webhook-signature': String(webhook.headers['webhook-signature']),
    };
    new StandardWebhook(stack.webhookSecret).verify(webhook.body, headers);
    new SvixWebhook(stack.webhookSecret).verify(webhook.body, headers);
    const hex = createHmac('sha256', stack.webhookSecret).update(webhook.body).digest('hex');
    expect(webhook.headers['x-webhook-signature']).toBe(hex);

    const tampered = webhook.body.replace('succeeded', 'failed');
    expect(() => new StandardWebhook(stack.webhookSecret).verify(tampered, headers)).toThrow();
  });

  it('is one job for one Idempotency-Key, however often it is handed over', async () => {
    const key = uniqueId('key');
    const body = { prompt: 'Say hello once.' };
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => submit(body, { 'idempotency-key': key })),
    );
    expect(new Set(answers.map((job) => job.id)).size).toBe(1);

    const other = await request('/v1/jobs', {
      method: 'POST',
      headers: { 'idempotency-key': key },
      body: JSON.stringify({ prompt: 'Something else.' }),
    });
    expect(other.status).toBe(409);
    expect(await other.json()).toMatchObject({ code: 'idempotency_conflict' });
  });

  it('remembers what was said before in its session', async () => {
    const session = uniqueId('session');
    const first = await submit({ prompt: 'My name is Ada.', session_id: session });
    const second = await submit({ prompt: 'What is my name?', session_id: session });
    expect((await ended(first.id)).status).toBe('succeeded');
    expect((await ended(second.id)).status).toBe('succeeded');
  });

  it('of the type agent takes a prompt too, and its receiver is told', async () => {
    const path = `/${uniqueId('agent')}`;
    const job = await submit({
      type: 'agent',
      prompt: 'Plan a trip.',
      callback_url: receiver.url(path),
    });
    expect(await ended(job.id)).toMatchObject({ status: 'succeeded', type: 'agent' });
    const [webhook] = await until('the webhook', 10_000, () => nonEmpty(receiver.at(path)));
    expect(JSON.parse(webhook?.body ?? '')).toMatchObject({ job_id: job.id, status: 'succeeded' });
  });
});

function nonEmpty<T>(list: T[]): T[] | undefined {
  return list.length > 0 ? list : undefined;
}

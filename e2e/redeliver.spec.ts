import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { WebhookReceiver } from './receivers/webhook-receiver.ts';
import {
  consume,
  ended,
  findJob,
  produce,
  request,
  stack,
  submit,
  uniqueId,
  until,
  upstream,
} from './running-stack.ts';

const run = promisify(execFile);
const command = join(import.meta.dirname, '../apps/cli/bin/millrace.mjs');
const topic = 'jobs.finished.v1';

type Json = ReturnType<typeof JSON.parse>;

/** What a user types; the answer as a machine reads it, and what was told meanwhile. */
async function millrace(...words: string[]): Promise<{ answer: Json; progress: string }> {
  const env = { ...process.env, MILLRACE_URL: stack.url, MILLRACE_API_KEY: stack.apiKey };
  const { stderr, stdout } = await run(process.execPath, [command, ...words, '--json'], { env });
  return { answer: JSON.parse(stdout), progress: stderr };
}

/** Waits until a service has read everything that was in the topic when this was called. */
async function readBy(groupId: string): Promise<void> {
  const admin = upstream.admin();
  await admin.connect();
  try {
    const ends = await admin.fetchTopicOffsets(topic);
    await until(`${groupId} has read ${topic}`, 15_000, async () => {
      const [group] = await admin.fetchOffsets({ groupId, topics: [topic] });
      return ends.every(({ high, partition }) => {
        const read = group?.partitions.find((place) => place.partition === partition);
        return Number(read?.offset ?? -1) >= Number(high) || Number(high) === 0;
      });
    });
  } finally {
    await admin.disconnect();
  }
}

describe('ends that are told again by the command line', () => {
  let receiver: WebhookReceiver;
  let told: Awaited<ReturnType<typeof consume>>;
  beforeAll(async () => {
    receiver = await WebhookReceiver.listen();
    told = await consume(topic);
  });
  afterAll(async () => {
    await told.stop();
    await receiver.close();
  });

  it('are the events that the runners told, and no webhook comes twice', async () => {
    const since = new Date(Date.now() - 1).toISOString();
    const path = `/${uniqueId('redeliver')}`;
    const callback_url = receiver.url(path);
    const metadata = { order: '1' };
    const session_id = uniqueId('session');
    const answered = await submit({ prompt: 'Say hello.', callback_url, metadata, session_id });
    const rejected = uniqueId('rejected');
    await produce('jobs.submitted.v1', [
      { key: rejected, value: JSON.stringify({ job_id: rejected, prompt: 5, callback_url }) },
    ]);
    const run_at = new Date(Date.now() + 3_600_000).toISOString();
    const waiting = await submit({ prompt: 'Say hello.', callback_url, metadata, run_at });
    await request(`/v1/jobs/${waiting.id}/cancel`, { method: 'POST' });
    const ids = [answered.id, waiting.id, rejected];
    await until('all jobs', 30_000, async () => (await findJob(rejected)) !== undefined);
    const before = await Promise.all(ids.map((id) => ended(id)));
    await until('their webhooks', 30_000, () => receiver.at(path).length === ids.length);

    const { answer, progress } = await millrace('redeliver', '--since', since, '--wait');
    expect(answer).toMatchObject({ state: 'done', since });
    expect(answer.published).toBeGreaterThanOrEqual(ids.length);
    expect(progress).toContain(`${answer.published} published`);

    for (const id of ids) {
      const copies = await until(`the end of ${id} again`, 15_000, () => {
        const found = told.records.filter(({ key }) => key === id);
        return found.length >= 2 && found;
      });
      const [first, ...more] = copies.map(({ headers, value }) => {
        const { traceparent, tracestate: _state, ...known } = headers;
        const trace = traceparent?.split('-')[1];
        return { headers: known, trace, data: JSON.parse(String(value)) };
      });
      for (const again of more) expect(again).toEqual(first);
    }

    await readBy('webhook-dispatcher');
    await readBy('ingest');
    // Whatever they had begun has been sent before this one's webhook.
    const last = uniqueId('last');
    await submit({ prompt: 'Say hello.', callback_url: receiver.url(`/${last}`) });
    await until('the last webhook', 30_000, () => receiver.at(`/${last}`).length > 0);
    expect(receiver.at(path)).toHaveLength(ids.length);
    expect(await Promise.all(ids.map((id) => ended(id)))).toEqual(before);
  });
});

import { readFileSync } from 'node:fs';

import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';

import { WebhookReceiver } from './receivers/webhook-receiver.ts';
import {
  ended,
  findJob,
  pidOf,
  produce,
  readyReplicas,
  stack,
  submit,
  uniqueId,
  until,
} from './running-stack.ts';

jest.setTimeout(240_000);

const jobsWhileDown = 20;
/** No lack of Kafka is to be felt here: much longer than a commit on a busy machine. */
const ackMsMax = 10_000;
const endedWithinMs = 90_000;

const frozen: number[] = [];

/** Stops a server and all that it has started: it neither answers nor closes anything. */
function freeze(name: 'kafka' | 'postgres'): void {
  const pid = pidOf(name);
  if (pid === undefined) throw new Error(`${name} is not running`);
  // The parent first, or it would start others.
  for (const one of [pid, ...childrenOf(pid)]) {
    process.kill(one, 'SIGSTOP');
    frozen.push(one);
  }
}

function thaw(): void {
  for (const pid of frozen.splice(0)) process.kill(pid, 'SIGCONT');
}

function childrenOf(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return children === '' ? [] : children.split(' ').map(Number);
}

async function post(job: object): Promise<{ status: number; retryAfter: string | null }> {
  const response = await fetch(`${stack.url}/v1/jobs`, {
    method: 'POST',
    headers: { authorization: `Bearer ${stack.apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify(job),
  });
  await response.arrayBuffer();
  return { status: response.status, retryAfter: response.headers.get('retry-after') };
}

async function expectAllAlive(): Promise<void> {
  const probes = stack.serviceUrls.map(async (url) => (await fetch(`${url}/healthz`)).status);
  expect(new Set(await Promise.all(probes))).toEqual(new Set([200]));
}

/** Follows a job's events into a text that grows. */
function listen(id: string): { text: () => string; stop: () => void } {
  const stopping = new AbortController();
  let text = '';
  const headers = { authorization: `Bearer ${stack.apiKey}` };
  const read = async (): Promise<void> => {
    const { signal } = stopping;
    const response = await fetch(`${stack.url}/v1/jobs/${id}/events`, { headers, signal });
    for await (const bytes of response.body ?? []) text += Buffer.from(bytes).toString();
  };
  read().catch(() => undefined);
  return { text: () => text, stop: () => stopping.abort() };
}

let receiver: WebhookReceiver;

beforeAll(async () => {
  receiver = await WebhookReceiver.listen();
  await readyReplicas();
});

afterEach(thaw);

afterAll(async () => {
  await receiver?.close();
  await readyReplicas();
});

describe('Kafka is away', () => {
  it('jobs by HTTP are taken all the time, and each ends once when it is back', async () => {
    const mark = uniqueId('down');
    const callback = { callback_url: receiver.url(`/${mark}`) };
    freeze('kafka');
    const ids: string[] = [];
    for (let n = 0; n < jobsWhileDown; n += 1) {
      const beganAtMs = performance.now();
      const { id } = await submit({ job_id: `${mark}-${n}`, prompt: `Say ${n}.`, ...callback });
      expect(performance.now() - beganAtMs).toBeLessThan(ackMsMax);
      ids.push(id);
    }
    const events = listen(`${mark}-0`);
    await expectAllAlive();
    // Taken, and nothing more; a reader is told no more than that.
    await until('the stream to open', 20_000, () => events.text() !== '');
    expect((await findJob(`${mark}-0`))?.status).toBe('queued');
    expect(events.text()).not.toMatch(/failed|error/);
    thaw();
    const jobs = await Promise.all(ids.map((id) => ended(id, endedWithinMs)));
    expect(new Set(jobs.map(({ status }) => status))).toEqual(new Set(['succeeded']));
    events.stop();
    await until('every webhook', 60_000, () => {
      const told = new Set(receiver.at(`/${mark}`).map(({ jobId }) => jobId));
      return told.size === ids.length;
    });
    const webhookIds = receiver.at(`/${mark}`).map(({ headers }) => headers['webhook-id']);
    expect(new Set(webhookIds).size).toBe(ids.length);
  });
});

describe('Postgres is away', () => {
  it('HTTP says when to come again, and what Kafka brought goes on afterwards', async () => {
    const mark = uniqueId('away');
    // The key is known to the process that will be asked.
    await submit({ prompt: 'before' });
    freeze('postgres');
    const recorded = Array.from({ length: 10 }, (_, n) => `${mark}-record-${n}`);
    await produce(
      'jobs.submitted.v1',
      recorded.map((id) => ({
        key: id,
        value: JSON.stringify({ job_id: id, prompt: 'Say it.' }),
      })),
    );
    const refused = await post({ job_id: `${mark}-http`, prompt: 'Say it.' });
    expect(refused.status).toBe(503);
    expect(Number(refused.retryAfter)).toBeGreaterThan(0);
    await expectAllAlive();
    thaw();
    await readyReplicas();
    const again = await until('a 202 for the repeated job', 60_000, async () => {
      const { status } = await post({ job_id: `${mark}-http`, prompt: 'Say it.' });
      return status === 202;
    });
    expect(again).toBe(true);
    const jobs = await Promise.all(
      [...recorded, `${mark}-http`].map((id) => ended(id, endedWithinMs)),
    );
    expect(new Set(jobs.map(({ status }) => status))).toEqual(new Set(['succeeded']));
  });
});

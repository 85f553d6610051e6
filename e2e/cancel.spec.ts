import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { seededRandom } from '../chaos/seeded-random.ts';

import { WebhookReceiver } from './receivers/webhook-receiver.ts';
import {
  consume,
  ended,
  produce,
  request,
  say,
  stack,
  submit,
  uniqueId,
  until,
  type ConsumedRecord,
} from './running-stack.ts';

/** Every attempt fails: for some seconds the job waits for its next one, and is cancelled then. */
const failing = '[[fault:500 times=6]]';

/** Cancels that meet a job wherever it is: before its call, in the middle of it, after its end. */
const race = { seed: 20_261_129, jobs: 60, modelMsMax: 500, cancelMsMax: 500 };
/** Handed over at once; in several waves, since a heartbeat brings the wish and has to meet one. */
const waveSize = 10;
/** Of so many jobs one fails until it is cancelled, so that no machine is too fast for a cancel. */
const failingEvery = 7;

/** One in the race, and one when all have ended. */
const wishesPerJob = 2;

interface RacingJob {
  readonly id: string;
  readonly by: 'http' | 'kafka';
  /** What the stand-in plays for it. */
  readonly fault: string;
  /** From its acknowledgement to the wish. */
  readonly cancelMs: number;
}

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

describe(`${race.jobs} jobs that are cancelled while they run`, () => {
  const jobs = racingJobs();
  const path = `/${uniqueId('race')}`;
  let receiver: WebhookReceiver;
  let finished: { records: ConsumedRecord[]; stop: () => Promise<void> };
  let shown: Record<string, string>;

  beforeAll(async () => {
    receiver = await WebhookReceiver.listen();
    finished = await consume('jobs.finished.v1');
    for (let n = 0; n < jobs.length; n += waveSize) {
      await handOverAndCancel(jobs.slice(n, n + waveSize), receiver.url(path));
    }
    const all = await Promise.all(jobs.map(({ id }) => ended(id)));
    shown = Object.fromEntries(all.map(({ id, status }) => [id, status]));
    await until('every webhook', 30_000, () => {
      return new Set(receiver.at(path).map(({ jobId }) => jobId)).size === jobs.length;
    });
    // Once more, now that all have ended, and a job after them: what came of it is told by then.
    await Promise.all(jobs.map(({ id }, n) => isCancelTaken(id, n)));
    const last = await submit({ prompt: 'The last one.', callback_url: receiver.url(`${path}-z`) });
    await until('the last event', 30_000, () => {
      return finished.records.some(({ key }) => key === last.id);
    });
    await until('the last webhook', 30_000, () => receiver.at(`${path}-z`).length > 0);
  });
  afterAll(async () => {
    await finished.stop();
    await receiver.close();
  });

  it('end as cancelled or as what came first, and are shown so ever after', async () => {
    expect(new Set(Object.values(shown))).toEqual(new Set(['succeeded', 'cancelled']));
    const cancelled = Object.values(shown).filter((status) => status === 'cancelled');
    say(`${cancelled.length} of ${jobs.length} jobs were cancelled in time`);
    for (const { id, status } of await Promise.all(jobs.map(({ id }) => ended(id)))) {
      expect([id, status]).toEqual([id, shown[id]]);
    }
  });

  // A wish that comes too late has the end told again: the same event, for who missed it.
  it('have exactly one terminal event each, told once and once more for each late wish', () => {
    const told = Map.groupBy(finished.records, ({ key }) => key ?? '');
    for (const { id } of jobs) {
      const records = told.get(id) ?? [];
      const types = records.map(({ headers }) => headers['ce_type']);
      expect(new Set(types)).toEqual(new Set([`millrace.job.${shown[id]}.v1`]));
      expect(new Set(records.map(({ headers }) => headers['ce_id'])).size).toBe(1);
      expect(new Set(records.map(({ value }) => String(value))).size).toBe(1);
      expect(records.length).toBeLessThanOrEqual(1 + wishesPerJob);
    }
  });

  it('have one webhook each, which says the same', () => {
    const webhooks = receiver.at(path);
    expect(new Set(webhooks.map(({ headers }) => headers['webhook-id'])).size).toBe(jobs.length);
    for (const { body, jobId } of webhooks) {
      expect(JSON.parse(body)).toMatchObject({ job_id: jobId, status: shown[jobId] });
    }
  });
});

function racingJobs(): RacingJob[] {
  const random = seededRandom(race.seed);
  return Array.from({ length: race.jobs }, (_, n) => ({
    id: uniqueId('race'),
    by: n % 2 === 0 ? 'http' : 'kafka',
    fault: faultOf(n, Math.round(random() * race.modelMsMax)),
    cancelMs: Math.round(random() * race.cancelMsMax),
  }));
}

function faultOf(n: number, modelMs: number): string {
  return n % failingEvery === 0 ? failing : `[[fault:slow ms=${modelMs}]]`;
}

async function handOverAndCancel(jobs: readonly RacingJob[], callback: string): Promise<void> {
  const { http = [], kafka = [] } = Object.groupBy(jobs, ({ by }) => by);
  const bodyOf = ({ fault, id }: RacingJob): object => ({
    job_id: id,
    prompt: `Take your time. ${id} ${fault}`,
    callback_url: callback,
  });
  const published = produce(
    'jobs.submitted.v1',
    kafka.map((job) => ({ key: job.id, value: JSON.stringify(bodyOf(job)) })),
  );
  const cancel = async ({ cancelMs, id }: RacingJob, n: number): Promise<void> => {
    await delay(cancelMs);
    // One that was published is unknown until an intake has read it.
    await until(`the cancel of ${id}`, 20_000, () => isCancelTaken(id, n));
  };
  await Promise.all([
    ...http.map((job, n) => submit(bodyOf(job)).then(() => cancel(job, n))),
    ...kafka.map((job, n) => published.then(() => cancel(job, n))),
  ]);
}

/** At whatever replica. */
async function isCancelTaken(id: string, n: number): Promise<boolean> {
  const url = stack.apiUrls[n % stack.apiUrls.length];
  const headers = { authorization: `Bearer ${stack.apiKey}` };
  const response = await fetch(`${url}/v1/jobs/${id}/cancel`, { method: 'POST', headers });
  await response.arrayBuffer();
  if (response.status !== 202 && response.status !== 404) {
    throw new Error(`the cancel was answered with ${response.status}`);
  }
  return response.status === 202;
}

async function isAsked(mark: string): Promise<boolean> {
  const journal = await fetch(`${stack.claudeUrl}/stand-in/requests`);
  return (await journal.text()).includes(mark);
}

import { describe, expect, it } from '@jest/globals';

import { consume, ended, stack, submit, uniqueId, until } from './running-stack.ts';

/** A prompt that asks the stand-in to play a fault, a number of times. */
function faulty(fault: string): string {
  return `[[fault:${fault}]] ${uniqueId('prompt')}`;
}

function streamed(prompt: string) {
  const messages = [{ role: 'user', content: prompt }];
  return { params: { stream: true, max_tokens: 512, messages } };
}

/** How often the stand-in was asked. */
async function sendsOf(prompt: string): Promise<number> {
  const journal = await fetch(`${stack.claudeUrl}/stand-in/requests`);
  const entries: { body?: unknown }[] = JSON.parse(await journal.text());
  return entries.filter(({ body }) => JSON.stringify(body).includes(prompt)).length;
}

/** A completion tells of the latest ones. */
const attemptsToldMax = 20;

describe('when Claude', () => {
  it('says 429 once, the call waits for retry-after and that is no attempt', async () => {
    const submittedAt = performance.now();
    const job = await submit({ prompt: faulty('429 retry_after=1 times=1') });
    const done = await ended(job.id);
    expect(done.status).toBe('succeeded');
    expect(performance.now() - submittedAt).toBeGreaterThan(1_000);
  });

  it('says 500 twice, the call is made again and the job succeeds', async () => {
    const done = await ended((await submit({ prompt: faulty('500 times=2') })).id);
    expect(done.status).toBe('succeeded');
    expect(done.attempts?.map((attempt) => attempt.outcome)).toEqual([
      'failed',
      'failed',
      'succeeded',
    ]);
    expect(done.attempts?.[0]?.http_status).toBe(500);
  });

  it('cuts its stream once, the half answer is not taken and the job succeeds', async () => {
    const done = await ended((await submit(streamed(faulty('cut after=3 times=1')))).id);
    expect(done.status).toBe('succeeded');
    expect(done.attempts?.map((attempt) => attempt.outcome)).toEqual(['unknown', 'succeeded']);
  });

  it('says 500 every time, the job fails after five retries and is a dead letter', async () => {
    const letters = await consume('claude.requested.v1.dlq');
    const prompt = faulty('500');
    const done = await ended((await submit({ prompt })).id, 120_000);
    // So many failures may shut the gate: what is sent meanwhile is a probe, and uses no retry up.
    const refused = { http_status: 500, outcome: 'failed' };
    const detail = expect.stringMatching(/^6 attempts failed/);
    expect(done).toMatchObject({ status: 'failed', error: { code: 'retries_exhausted', detail } });
    const attempts = done.attempts?.map(({ http_status, outcome }) => ({ http_status, outcome }));
    const sends = await sendsOf(prompt);
    expect(sends).toBeGreaterThanOrEqual(6);
    // Each of them is told of, the probes too.
    const told = Array.from({ length: Math.min(sends, attemptsToldMax) }, () => refused);
    expect(attempts).toEqual(told);
    const letter = await until('the dead letter', 20_000, () =>
      letters.records.find((record) => record.value?.toString().includes(done.id)),
    );
    await letters.stop();
    expect(letter.headers).toMatchObject({
      'dlq-attempts': '6',
      'dlq-reason': 'retries_exhausted',
      'dlq-service': 'claude-worker',
    });
  });
});

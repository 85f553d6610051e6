import { describe, expect, it } from '@jest/globals';
import { EventSource } from 'eventsource';

import { request, stack, submit, ended } from './running-stack.ts';

interface SeenEvent {
  readonly type: string;
  readonly data: string;
  readonly id: string;
}

const eventTypes = ['stream.opened', 'snapshot', 'delta', 'job.running', 'stream.restarted'];
const lastTypes = ['job.succeeded', 'job.failed', 'job.cancelled', 'job.expired'];

/** Reads a job's stream with a common client until the job's terminal event. */
function readStream(jobId: string): Promise<SeenEvent[]> {
  const seen: SeenEvent[] = [];
  const source = new EventSource(`${stack.url}/v1/jobs/${jobId}/events`, {
    fetch: (url, init) =>
      fetch(url, {
        ...init,
        headers: { ...init.headers, authorization: `Bearer ${stack.apiKey}` },
      }),
  });
  return new Promise((resolve, reject) => {
    const note = (event: MessageEvent): void => {
      seen.push({ type: event.type, data: String(event.data), id: event.lastEventId });
      if (!lastTypes.includes(event.type)) return;
      source.close();
      resolve(seen);
    };
    for (const type of [...eventTypes, ...lastTypes, 'message']) {
      source.addEventListener(type, note);
    }
    source.addEventListener('error', (event) => {
      if (event.code !== undefined) reject(new Error(`the stream answered ${event.code}`));
    });
  });
}

function textOf(events: SeenEvent[]): string {
  return events
    .filter((event) => event.type === 'delta' || event.type === 'snapshot')
    .map((event) => String(JSON.parse(event.data).text))
    .join('');
}

describe('the stream of a job', () => {
  it('tells the answer as it is written, whole and in order', async () => {
    const job = await submit({
      params: {
        stream: true,
        max_tokens: 1024,
        messages: [{ role: 'user', content: 'Write some sentences about mills.' }],
      },
    });
    const events = await readStream(job.id);
    expect(events[0]?.type).toBe('stream.opened');
    expect(events.at(-1)?.type).toBe('job.succeeded');
    const done = await ended(job.id);
    expect(textOf(events)).toBe(done.result);
    expect(events.filter((event) => event.type === 'delta').length).toBeGreaterThan(1);
  });

  it('numbers each delta by where its text ends', async () => {
    const job = await submit({
      params: { stream: true, max_tokens: 1024, messages: [{ role: 'user', content: 'Go on.' }] },
    });
    const deltas = (await readStream(job.id)).filter((event) =>
      ['delta', 'snapshot'].includes(event.type),
    );
    let end = 0;
    for (const delta of deltas) {
      end += String(JSON.parse(delta.data).text).length;
      expect(delta.id).toBe(`${job.id}:1.1.${end}`);
    }
  });

  it('of another tenant’s job is not there', async () => {
    const response = await request('/v1/jobs/job_of_somebody_else/events');
    expect(response.status).toBe(404);
  });
});

describe('POST /v1/stream', () => {
  it('answers tokens and [DONE], on a job that can be read back', async () => {
    const response = await request('/v1/stream', {
      method: 'POST',
      body: JSON.stringify({ prompt: 'Count to ten.' }),
    });
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    const jobId = String(response.headers.get('x-millrace-job-id'));
    const data = dataLines(await response.text());
    expect(data.at(-1)).toBe('[DONE]');
    const tokens = data.slice(0, -1).map((line) => String(JSON.parse(line).token));
    expect(tokens.join('')).toBe((await ended(jobId)).result);
  });

  it('goes on to its end when the client goes away', async () => {
    const leaving = new AbortController();
    const response = await request('/v1/stream', {
      method: 'POST',
      body: JSON.stringify({ prompt: 'Count to a hundred.' }),
      signal: leaving.signal,
    });
    const jobId = String(response.headers.get('x-millrace-job-id'));
    leaving.abort();
    expect(await ended(jobId)).toMatchObject({ status: 'succeeded' });
  });
});

function dataLines(sse: string): string[] {
  return sse
    .split('\n')
    .filter((line) => line.startsWith('data: '))
    .map((line) => line.slice('data: '.length));
}

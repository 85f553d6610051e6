import { randomInt } from 'node:crypto';

import { describe, expect, it, jest } from '@jest/globals';
import { EventSource } from 'eventsource';

import {
  ended,
  pidOf,
  readyReplicas,
  stack,
  submit,
  until,
  type ShownJob,
} from './running-stack.ts';

jest.setTimeout(180_000);

const eventTypes = ['stream.opened', 'snapshot', 'delta', 'job.running', 'stream.restarted'];
const lastTypes = ['job.succeeded', 'job.failed', 'job.cancelled', 'job.expired'];
const workers = ['claude-worker-1', 'claude-worker-2'];

/** Connections that break before one is whole: the last event alone is larger than they are. */
const cuts = 5;
/** About twelve seconds of writing: long enough to be cut off some times. */
const longPrompt = 'Tell a long story. [[sentences:180]]';

const streamed = (prompt: string) =>
  submit({
    params: { stream: true, max_tokens: 8192, messages: [{ role: 'user', content: prompt }] },
  });

/** What a common client makes of a stream whose connections break, each at another replica. */
class Listener {
  readonly seen: { readonly type: string; readonly id: string }[] = [];
  /** The replica of each connection, by its place in the list of them. */
  readonly connections: number[] = [];
  text = '';
  private isOver = false;
  private readonly source: EventSource;

  /** @param bytesOf how much each connection carries before it breaks */
  constructor(
    job: ShownJob,
    private readonly bytesOf: (connection: number) => number = () => Infinity,
  ) {
    this.source = new EventSource(`${stack.url}/v1/jobs/${job.id}/events`, {
      fetch: (url, init) => this.connect(new URL(url), init),
    });
    for (const type of [...eventTypes, ...lastTypes, 'message']) {
      this.source.addEventListener(type, (event) => this.note(event));
    }
  }

  count(type: string): number {
    return this.seen.filter((event) => event.type === type).length;
  }

  async over(): Promise<void> {
    await until('the end of the stream', 150_000, () => this.isOver);
    this.source.close();
  }

  private async connect(url: URL, init: RequestInit): Promise<Response> {
    const replica = this.connections.length % stack.apiUrls.length;
    this.connections.push(replica);
    const headers = { ...init.headers, authorization: `Bearer ${stack.apiKey}` };
    const at = new URL(url.pathname, stack.apiUrls[replica]);
    const response = await fetch(at, { ...init, headers });
    return new Response(cutAfter(response.body, this.bytesOf(this.connections.length)), response);
  }

  private note({ type, data, lastEventId: id }: MessageEvent): void {
    this.seen.push({ type, id });
    if (lastTypes.includes(type)) this.isOver = true;
    if (type === 'stream.restarted') this.text = '';
    if (type !== 'delta' && type !== 'snapshot') return;
    // A snapshot is for those who have nothing yet.
    if (type === 'snapshot') expect(this.text).toBe('');
    this.text += String(JSON.parse(String(data)).text);
    expect(id.endsWith(`.${this.text.length}`)).toBe(true);
  }
}

/** Passes on so many bytes, which may end within an event, and then breaks the connection. */
function cutAfter(body: ReadableStream<Uint8Array> | null, bytes: number) {
  let left = bytes;
  return body?.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        controller.enqueue(chunk.subarray(0, Math.max(0, left)));
        left -= chunk.byteLength;
        if (left <= 0) controller.error(new Error('the connection broke'));
      },
    }),
  );
}

describe('a stream whose client is cut off again and again', () => {
  it('goes on at the other replica, without gap or repeat', async () => {
    const job = await streamed(longPrompt);
    const listener = new Listener(job, (n) => (n <= cuts ? randomInt(300, 8_000) : Infinity));
    await listener.over();
    const done = await ended(job.id);
    expect(done.status).toBe('succeeded');
    expect(listener.text).toBe(done.result);
    expect(listener.connections.length).toBe(cuts + 1);
    expect(listener.count('snapshot')).toBeLessThanOrEqual(1);
    expect([listener.count('message'), listener.count('stream.restarted')]).toEqual([0, 0]);
    for (const { id } of listener.seen) {
      expect(id === '' || id.startsWith(`${job.id}:`)).toBe(true);
    }
  });
});

describe('a stream whose worker is killed in mid-stream', () => {
  it('begins again with another attempt, and tells all of the result', async () => {
    const job = await streamed(longPrompt);
    const listener = new Listener(job);
    await until('some text', 60_000, () => listener.text.length > 200);
    const before = workers.map(pidOf);
    for (const pid of before) process.kill(Number(pid), 'SIGKILL');
    await listener.over();
    await readyReplicas();
    const done = await ended(job.id);
    expect(done.status).toBe('succeeded');
    expect(done.attempts?.map(({ outcome }) => outcome)).toEqual(['unknown', 'succeeded']);
    expect(listener.count('stream.restarted')).toBe(1);
    expect(listener.text).toBe(done.result);
  });
});

describe('a stream whose ingest replica is killed', () => {
  it('goes on at the other one with the last id', async () => {
    const job = await streamed(longPrompt);
    const listener = new Listener(job);
    await until('some text', 60_000, () => listener.text.length > 200);
    process.kill(Number(pidOf('ingest-1')), 'SIGKILL');
    await listener.over();
    await readyReplicas();
    const done = await ended(job.id);
    expect(done.status).toBe('succeeded');
    expect(listener.text).toBe(done.result);
    expect(listener.connections.slice(0, 2)).toEqual([0, 1]);
    expect(listener.count('stream.restarted')).toBe(0);
  });
});

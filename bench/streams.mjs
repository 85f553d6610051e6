/** Event streams: what the way through the pipeline adds to a first token, and what each costs. */
import { readFileSync } from 'node:fs';

import { Agent, request } from 'undici';

const modelMs = 100;
/** The jobs that are listened to go on for so long. */
const listenedMs = 30_000;
/** Several of them, since a process keeps something for each job beside each stream. */
const streamsPerJob = 10;
const openedAtOnce = 100;

/**
 * @param {import('./bench-stack.mjs').Bench} bench
 * @param {number} count
 * @returns {Promise<number[]>} milliseconds more than a direct call took just before
 */
export async function addedToFirstToken(bench, count) {
  await bench.setModelMs(modelMs);
  const dispatcher = new Agent({ connections: 8 });
  const added = [];
  for (let n = 0; n < count; n += 1) {
    const direct = await untilFirst('content_block_delta', directCall(bench), dispatcher);
    const streamed = await untilFirst('"token"', streamCall(bench), dispatcher);
    added.push(streamed - direct);
  }
  await dispatcher.close();
  return added;
}

/**
 * Opens many streams of running jobs, and waits until all have seen the end of theirs.
 * @param {import('./bench-stack.mjs').Bench} bench
 * @param {number} count
 * @returns {Promise<{ open: number, ended: number, jobs: number, kibEach: number | null }>}
 */
export async function memoryOfOpenStreams(bench, count) {
  await bench.setModelMs(listenedMs);
  const { stack } = bench;
  const headers = { authorization: `Bearer ${stack.apiKey}`, 'content-type': 'application/json' };
  const jobs = Math.ceil(count / streamsPerJob);
  const accepted = await request(`${stack.urls.api}/v1/jobs:batch`, {
    method: 'POST',
    headers,
    body: JSON.stringify({ jobs: Array.from({ length: jobs }, () => ({ params: streamParams })) }),
  });
  const ids = JSON.parse(await accepted.body.text()).results.map(({ job }) => job.id);
  const dispatcher = new Agent({ connections: count, pipelining: 1, bodyTimeout: 0 });
  const pid = stack.pid('ingest');
  const before = residentKib(pid);
  const ends = [];
  for (let open = 0; open < count; open += openedAtOnce) {
    const opened = Array.from({ length: Math.min(openedAtOnce, count - open) }, (_, n) => {
      const id = ids[(open + n) % jobs];
      return request(`${stack.urls.api}/v1/jobs/${id}/events`, { dispatcher, headers });
    });
    for (const { body } of await Promise.all(opened)) ends.push(body.text());
  }
  const after = residentKib(pid);
  const texts = await Promise.all(ends);
  await dispatcher.close();
  const ended = texts.filter((text) => text.includes('event: job.succeeded')).length;
  const kibEach = before === null || after === null ? null : (after - before) / count;
  return { open: texts.length, ended, jobs, kibEach };
}

const streamParams = {
  model: 'claude-sonnet-5-5',
  max_tokens: 64,
  stream: true,
  messages: [{ role: 'user', content: 'Answer in one sentence.' }],
};

function directCall({ model }) {
  return {
    url: `http://127.0.0.1:${model.port}/v1/messages`,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(streamParams),
  };
}

function streamCall({ stack }) {
  return {
    url: `${stack.urls.api}/v1/stream`,
    headers: { authorization: `Bearer ${stack.apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'Answer in one sentence.' }),
  };
}

/** Milliseconds from the request to the first piece of the answer that holds this text. */
async function untilFirst(text, { url, headers, body }, dispatcher) {
  const startedAt = performance.now();
  const response = await request(url, { dispatcher, method: 'POST', headers, body });
  let read = '';
  let ms;
  for await (const chunk of response.body) {
    if (ms === undefined && (read += chunk).includes(text)) ms = performance.now() - startedAt;
  }
  if (ms === undefined) throw new Error(`${url} answered ${response.statusCode} without ${text}`);
  return ms;
}

/** Linux only. @returns {number | null} */
function residentKib(pid) {
  try {
    return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  } catch {
    return null;
  }
}

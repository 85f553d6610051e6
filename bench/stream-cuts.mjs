/**
 * Streams that break, each connection after a random number of bytes, and go on at another replica
 * with the last id that came whole.
 */
import { randomInt } from 'node:crypto';

import { request } from 'undici';

import { readEvents } from '../tools/start/event-stream.mjs';
import { inLanes } from './lanes.mjs';

const pieces = 75;
const pieceEveryMs = 40;
/** Of a stream of that many pieces, which is some 10,000 bytes long. */
const cutAfterBytes = { min: 200, max: 2_500 };
const rowFollowsMsMax = 30_000;
/** Connections may end by themselves, too. */
const connectionsMax = 50;

/**
 * @param {import('./bench-stack.mjs').Bench} bench with several replicas of ingest
 * @param {{ jobs: number, atOnce: number, cutsEach: number }} size
 * @returns {Promise<{ cuts: number, broken: string[] }>} those resumed; what is wrong with texts
 */
export async function cutStreams(bench, { jobs, atOnce, cutsEach }) {
  const { stack } = bench;
  await bench.setModelMs(0);
  const urls = stack.replicasOf('ingest').map((name) => stack.urls[name]);
  const headers = { authorization: `Bearer ${stack.apiKey}`, 'content-type': 'application/json' };
  const found = { cuts: 0, broken: [] };
  await inLanes({ count: jobs, atOnce }, async (n) => {
    const place = { urls, headers, first: n };
    const id = await submit(place);
    const heard = await listen(id, { ...place, cutsEach });
    const result = await resultOf(id, place);
    found.cuts += heard.cuts;
    if (heard.text === result) return;
    found.broken.push(`${id}: ${heard.text.length} characters of ${result.length}`);
  });
  return found;
}

async function submit({ urls, headers, first }) {
  const content = `Tell a story. [[pieces:${pieces},${pieceEveryMs}]]`;
  const messages = [{ role: 'user', content }];
  const params = { model: 'claude-sonnet-5-5', max_tokens: 8192, stream: true, messages };
  const { body, statusCode } = await request(`${urls[first % urls.length]}/v1/jobs`, {
    method: 'POST',
    headers,
    body: JSON.stringify({ params }),
  });
  const told = await body.json();
  if (statusCode !== 202) throw new Error(`a job was answered with ${JSON.stringify(told)}`);
  return told.id;
}

/** By the job's row, which follows its terminal event within moments. */
async function resultOf(id, { urls, headers, first }) {
  const deadline = performance.now() + rowFollowsMsMax;
  for (;;) {
    const { body } = await request(`${urls[first % urls.length]}/v1/jobs/${id}`, { headers });
    const { result, status } = await body.json();
    if (status === 'succeeded') return result;
    if (performance.now() > deadline) throw new Error(`${id} is ${status} after its stream's end`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** @returns what a client has made of the stream when it is over */
async function listen(id, { urls, headers, first, cutsEach }) {
  const heard = { text: '', lastId: undefined, cuts: 0, isOver: false };
  for (let n = first; !heard.isOver; n += 1) {
    if (n - first > connectionsMax) throw new Error(`${id} is not over after ${n - first} tries`);
    const resumed = heard.lastId === undefined ? {} : { 'last-event-id': heard.lastId };
    const url = `${urls[n % urls.length]}/v1/jobs/${id}/events`;
    const response = await request(url, { headers: { ...headers, ...resumed } });
    const { body, statusCode } = response;
    if (statusCode !== 200) throw new Error(`${url}: ${statusCode} ${await body.text()}`);
    const isCut = heard.cuts < cutsEach;
    const bytes = isCut ? randomInt(cutAfterBytes.min, cutAfterBytes.max) : Infinity;
    for await (const event of readEvents(upTo(body, bytes))) note(heard, event);
    // Without an id there is nothing to go on from: it begins anew.
    if (isCut && !heard.isOver && heard.lastId !== undefined) heard.cuts += 1;
  }
  return heard;
}

/** So many bytes, which may end within an event; then the connection is broken. */
async function* upTo(body, bytes) {
  let left = bytes;
  for await (const chunk of body) {
    yield chunk.subarray(0, left);
    left -= chunk.length;
    if (left <= 0) return;
  }
}

function note(heard, { data, event, id }) {
  if (id !== undefined) heard.lastId = id;
  if (event === 'snapshot' || event === 'stream.restarted') heard.text = '';
  if (event === 'snapshot' || event === 'delta') heard.text += data.text;
  if (event === 'job.succeeded') heard.isOver = true;
  else if (/^job\.(?:failed|cancelled|expired)$/.test(event)) throw new Error(`it is ${event}`);
}

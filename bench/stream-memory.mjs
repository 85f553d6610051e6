/** What an open event stream costs the process that holds it. */
import { existsSync, readFileSync, rmSync } from 'node:fs';

import { Agent, request } from 'undici';

import { reportFile } from './memory-report.mjs';

/** The jobs that are listened to would go on for so long: they are cancelled before. */
const modelMs = 120_000;
/** No stream is waited for any longer. */
const streamMsMax = 90_000;
/** Several of them, since a process keeps something for each job beside each stream. */
const streamsPerJob = 10;
const openedAtOnce = 100;
const waitMsMax = 30_000;
const lookEveryMs = 50;

const params = {
  model: 'claude-sonnet-5-5',
  max_tokens: 64,
  stream: true,
  messages: [{ role: 'user', content: 'Answer in one sentence.' }],
};

/**
 * Opens many streams of running jobs on an ingest that was started for it and holds nothing else:
 * the jobs are submitted at the other one. Then they are cancelled, which all streams have to tell.
 * @param {import('./bench-stack.mjs').Bench} bench with two replicas of ingest that report
 * @param {number} count
 * @returns {Promise<{ open: number, ended: number, jobs: number, kibEach: number,
 *   liveKibEach: number }>}
 */
export async function memoryOfOpenStreams(bench, count) {
  const { stack } = bench;
  const [fresh, other] = stack.replicasOf('ingest');
  const headers = { authorization: `Bearer ${stack.apiKey}` };
  const jobs = Math.ceil(count / streamsPerJob);
  await bench.setModelMs(modelMs);
  await stack.restart(fresh);
  const ids = await submit(`${stack.urls[other]}/v1/jobs:batch`, { headers, jobs });
  await until(async () => (await modelState(bench)).inFlight >= jobs);
  const before = await memoryOf(bench, fresh);
  const dispatcher = new Agent({ connections: count, pipelining: 1, bodyTimeout: 0 });
  const signal = AbortSignal.timeout(streamMsMax);
  const urls = Array.from(
    { length: count },
    (_, n) => `${stack.urls[fresh]}/v1/jobs/${ids[n % jobs]}/events`,
  );
  const ends = await openAll(urls, { dispatcher, headers, signal });
  const after = await memoryOf(bench, fresh);
  await cancelAll(ids, { url: stack.urls[other], headers });
  const texts = await Promise.all(ends);
  await dispatcher.close();
  const each = (what) => (after[what] - before[what]) / 1024 / count;
  return {
    open: texts.length,
    ended: texts.filter((text) => text.includes('event: job.cancelled')).length,
    jobs,
    kibEach: each('rss'),
    liveKibEach: each('heapUsed') + each('external'),
  };
}

async function submit(url, { headers, jobs }) {
  const body = JSON.stringify({ jobs: Array.from({ length: jobs }, () => ({ params })) });
  const accepted = await request(url, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json' },
    body,
  });
  const { results } = JSON.parse(await accepted.body.text());
  return results.map(({ job }) => job.id);
}

async function cancelAll(ids, { url, headers }) {
  for (const id of ids) {
    const { body, statusCode } = await request(`${url}/v1/jobs/${id}/cancel`, {
      method: 'POST',
      headers,
    });
    await body.dump();
    if (statusCode !== 202) throw new Error(`a cancel was answered with ${statusCode}`);
  }
}

/** @returns {Promise<Promise<string>[]>} what each of them will have said at its end */
async function openAll(urls, options) {
  const ends = [];
  for (let from = 0; from < urls.length; from += openedAtOnce) {
    const some = urls.slice(from, from + openedAtOnce).map((url) => request(url, options));
    for (const { body } of await Promise.all(some)) ends.push(body.text());
  }
  return ends;
}

async function modelState({ model }) {
  return (await fetch(`http://127.0.0.1:${model.port}/bench/state`)).json();
}

/** After all garbage was collected. */
async function memoryOf({ home, stack }, name) {
  const pid = stack.pid(name);
  const file = reportFile(home, pid);
  rmSync(file, { force: true });
  process.kill(pid, 'SIGUSR2');
  await until(() => existsSync(file));
  return JSON.parse(readFileSync(file, 'utf8'));
}

async function until(isSo) {
  const deadline = performance.now() + waitMsMax;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`${isSo}: not within ${waitMsMax} ms`);
    await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
  }
}

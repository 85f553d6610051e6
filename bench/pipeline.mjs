/**
 * The whole pipeline: jobs submitted by Kafka → claude-worker → webhook received, on a stack of its
 * own (free ports, a folder of its own), against a labelled model server and receiver.
 *
 * What is counted: jobs/s from the first publish to the last webhook; at 20 jobs/s the time from a
 * job's publish to its webhook with a model that answers at once; CPU seconds of every process.
 */
import { allArrived, now } from './arrivals.mjs';
import { openBench } from './bench-stack.mjs';
import { cpuNow, cpuOfRuns, cpuPerThousand, pidsOf, printCpu } from './cpu-time.mjs';
import { eventLoopDelays, resetEventLoopDelays } from './event-loop.mjs';
import { figure, percentile, round } from './figures.mjs';
import { httpAcknowledgements } from './http-ack.mjs';

const topic = 'jobs.submitted.v1';
/** Records in one produce request of the submitter. */
const batchSize = 500;
/**
 * The warm-up lets the compilers of V8 and the JVM settle: a service runs for days. Each kind of
 * load has its own, right before it: after 20,000 jobs at 0 ms, Kafka's compilers still take 0.15
 * CPU seconds per 1,000 jobs at 500 ms, and 0.03 after 20,000 of those; at 20 jobs/s one job takes
 * 17 ms at first, and 11 after 600, when what batches hardly touch is compiled, too.
 */
const fullSize = {
  jobs: 5000,
  paced: 400,
  runs: 3,
  warmUp: 20_000,
  pacedWarmUp: 800,
  requests: 2000,
};
const shortSize = {
  jobs: 300,
  paced: 60,
  runs: 1,
  warmUp: 100,
  pacedWarmUp: 0,
  requests: 200,
};

/**
 * @param {{ short: boolean, cpuProf?: string }} options short: fewer jobs, one run; for CI.
 *   cpuProf: the folder for a CPU profile of each service
 * @returns the rows of the figures
 */
export async function benchPipeline({ short, cpuProf }) {
  const size = short ? shortSize : fullSize;
  const bench = await openBench({ cpuProf });
  try {
    const slow = await repeated(bench, { ...size, modelMs: 500 });
    await resetEventLoopDelays(bench.stack);
    const fast = await repeated(bench, { ...size, modelMs: 0 });
    const delays = await eventLoopDelays(bench.stack);
    await addedLatency(bench, size.pacedWarmUp, 'paced-warm-up');
    const latencies = await addedLatency(bench, size.paced, 'paced');
    const acks = await httpAcknowledgements(bench, size.requests);
    printCpu('jobs', [...slow, ...fast]);
    return [
      figure('pipeline/throughput-500ms', ...throughputOf(slow, 'stretch 1,550')),
      figure('pipeline/throughput-0ms', ...throughputOf(fast, 'stretch 2,700')),
      figure('pipeline/added-latency-p50', [percentile(latencies, 50)], `n = ${latencies.length}`),
      figure('pipeline/added-latency-p99', [percentile(latencies, 99)], `n = ${latencies.length}`),
      figure('pipeline/cpu-per-1000-jobs', ...cpuOfRuns(fast, 'at 0 ms')),
      figure('pipeline/cpu-per-1000-jobs-500ms', ...cpuOfRuns(slow, 'at 500 ms')),
      figure('pipeline/http-ack-p99', [percentile(acks, 99)], `200/s, n = ${acks.length}`),
      ...delays.map(({ service, p99Ms }) =>
        figure(`pipeline/event-loop-p99-${service}`, [p99Ms], 'during the runs at 0 ms'),
      ),
    ];
  } finally {
    await bench.close();
  }
}

/** What a receiver was sent twice is no throughput: it is said beside the figure. */
function throughputOf(runs, note) {
  const duplicates = sum(runs.map((run) => run.duplicates));
  return [runs.map((run) => run.jobsPerSecond), `${note}; webhooks that came twice: ${duplicates}`];
}

async function repeated(bench, { jobs, runs, modelMs, warmUp }) {
  await bench.setModelMs(modelMs);
  await throughput(bench, warmUp, `warm-up-${modelMs}ms`);
  const results = [];
  for (let run = 1; run <= runs; run += 1) {
    const result = await throughput(bench, jobs, `${modelMs}ms-${run}`);
    console.log(`  ${jobs} jobs at ${modelMs} ms: ${round(result.jobsPerSecond)} jobs/s`);
    results.push({ name: `${modelMs} ms, run ${run}`, ...result });
  }
  return results;
}

async function throughput(bench, jobs, label) {
  await bench.receiver.ask('clear');
  const records = Array.from({ length: jobs }, (_, n) => record(bench, `bench-${label}-${n}`));
  const pids = pidsOf(bench, { 'model server': bench.model.pid, receiver: bench.receiver.pid });
  const cpuBefore = cpuNow(pids);
  const startedAt = now();
  for (let from = 0; from < jobs; from += batchSize) {
    await bench.producer.send({ topic, messages: records.slice(from, from + batchSize) });
  }
  const { arrivals, duplicates } = await allArrived(bench, jobs);
  const cpu = cpuPerThousand(cpuBefore, cpuNow(pids), jobs);
  const seconds = (Math.max(...arrivals.map(([, at]) => at)) - startedAt) / 1000;
  return { jobsPerSecond: jobs / seconds, duplicates, cpu };
}

/** Publishes at 20 jobs/s and takes the time of each from its publish to its webhook. */
async function addedLatency(bench, jobs, label) {
  await bench.setModelMs(0);
  await bench.receiver.ask('clear');
  const publishedAt = new Map();
  const startedAt = now();
  for (let n = 0; n < jobs; n += 1) {
    const due = startedAt + n * 50;
    if (due > now()) await new Promise((resolve) => setTimeout(resolve, due - now()));
    const jobId = `bench-${label}-${n}`;
    publishedAt.set(jobId, now());
    await bench.producer.send({ topic, messages: [record(bench, jobId)] });
  }
  const { arrivals } = await allArrived(bench, jobs);
  return arrivals.map(([jobId, at]) => at - publishedAt.get(jobId));
}

function record(bench, jobId) {
  const callback = `http://127.0.0.1:${bench.receiver.port}/`;
  const body = { job_id: jobId, prompt: 'Answer in one sentence.', callback_url: callback };
  return { key: jobId, value: JSON.stringify(body) };
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}

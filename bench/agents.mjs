/**
 * Agents: the model is asked, it asks for a tool, and again, on a stack of its own against a
 * labelled model server and a labelled HTTP tool that both answer at once.
 *
 * What is counted: agents/s and durable steps/s (a model turn or a tool call that was asked for and
 * answered), 100 agents at once; the time per step of one agent alone; and what agent-orchestrator
 * does by itself, with the other services asleep and their answers published by the bench.
 */
import { openBench } from './bench-stack.mjs';
import { figure, percentile, round } from './figures.mjs';
import { aloneTransitions } from './orchestrator-alone.mjs';

const topic = 'jobs.submitted.v1';
const finishedTopic = 'jobs.finished.v1';
/** Six tool calls and the turns that ask for them; the last answer is not counted. */
const toolCalls = 6;
const steps = 2 * toolCalls;
/** Runs become faster up to 2,000 agents, as V8 and the JVM compile: see the pipeline's bench. */
const fullSize = { agents: 500, atOnce: 100, runs: 3, warmUp: 2_000, alone: 40, workflows: 1_000 };
const shortSize = { agents: 40, atOnce: 20, runs: 1, warmUp: 20, alone: 5, workflows: 100 };
/** A run that has not ended by then is void. */
const runMsMax = 180_000;

/** @param {{ short: boolean, cpuProf?: string }} options @returns the rows of the figures */
export async function benchAgents({ short, cpuProf }) {
  const size = short ? shortSize : fullSize;
  const bench = await openBench(cpuProf);
  const tool = await bench.startHelper('tool-server.mjs', ['0']);
  const ends = await followEnds(bench);
  try {
    await bench.setModelMs(0);
    await register(bench, tool);
    await run(bench, ends, { agents: size.warmUp, atOnce: size.atOnce, label: 'warm-up' });
    const runs = [];
    for (let n = 1; n <= size.runs; n += 1) {
      const seconds = await run(bench, ends, { ...size, label: `run-${n}` });
      console.log(`  ${size.agents} agents: ${round((size.agents * steps) / seconds)} steps/s`);
      runs.push(seconds);
    }
    const perStep = await alone(bench, ends, size.alone);
    await ends.stop();
    const transitions = await aloneTransitions(bench, size.workflows);
    return [
      figure('agents/workflows', runs.map((seconds) => size.agents / seconds)),
      figure('agents/steps', runs.map((seconds) => (size.agents * steps) / seconds)),
      figure('agents/step-alone-p50', [percentile(perStep, 50)], `n = ${perStep.length}`),
      figure('agents/step-alone-p99', [percentile(perStep, 99)], `n = ${perStep.length}`),
      figure('agents/transitions-alone', transitions, 'agent-orchestrator and Postgres'),
    ];
  } finally {
    tool.child.disconnect();
    await bench.close();
  }
}

async function register({ stack }, tool) {
  const response = await fetch(`${stack.urls.api}/v1/tools/look`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${stack.apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      description: 'looks',
      input_schema: { type: 'object' },
      target: { kind: 'http', url: `http://127.0.0.1:${tool.port}/` },
      effect: 'read',
      approval: 'never',
    }),
  });
  if (!response.ok) throw new Error(`the tool was answered with ${response.status}`);
}

/** Ends of jobs as they are told, by job id. */
async function followEnds({ kafka }) {
  const waiting = new Map();
  const early = new Set();
  const consumer = kafka.consumer({ groupId: 'bench-ends', maxWaitTimeInMs: 5 });
  await consumer.connect();
  await consumer.subscribe({ topic: finishedTopic });
  await consumer.run({
    eachMessage: ({ message }) => {
      const type = String(message.headers['ce_type']);
      const id = String(message.key);
      const told = waiting.get(id);
      if (type !== 'millrace.job.succeeded.v1') {
        console.log(`  ${id}: ${type} ${String(message.value).slice(0, 500)}`);
      }
      if (told === undefined) early.add(id);
      else told(now());
      return Promise.resolve();
    },
  });
  return {
    of: (id) =>
      new Promise((resolve, reject) => {
        if (early.has(id)) resolve(now());
        waiting.set(id, resolve);
        setTimeout(() => reject(new Error(`${id} has not ended`)), runMsMax).unref();
      }),
    stop: () => consumer.disconnect(),
  };
}

function record(id) {
  const params = {
    model: 'claude-sonnet-5-5',
    max_tokens: 256,
    tools: ['look'],
    messages: [{ role: 'user', content: `Look around. [[turns:${toolCalls + 1}]]` }],
  };
  return { key: id, value: JSON.stringify({ type: 'agent', job_id: id, params }) };
}

/** So many at once, the next as soon as one has ended. @returns seconds */
async function run({ producer }, ends, { agents, atOnce, label }) {
  let next = 0;
  const startedAt = now();
  const lane = async () => {
    while (next < agents) {
      const id = `bench-${label}-${next}`;
      next += 1;
      const ended = ends.of(id);
      await producer.send({ topic, messages: [headed(record(id))] });
      await ended;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
  return (now() - startedAt) / 1000;
}

function headed(message) {
  const headers = { ce_type: 'millrace.job.submitted.v1', ce_id: message.key };
  return { ...message, headers: { ...headers, 'content-type': 'application/json' } };
}

/** One after another. @returns milliseconds per step of each */
async function alone({ producer }, ends, count) {
  const perStep = [];
  for (let n = 0; n < count; n += 1) {
    const id = `bench-alone-${n}`;
    const ended = ends.of(id);
    const startedAt = now();
    await producer.send({ topic, messages: [headed(record(id))] });
    perStep.push(((await ended) - startedAt) / steps);
  }
  return perStep;
}

function now() {
  return performance.timeOrigin + performance.now();
}

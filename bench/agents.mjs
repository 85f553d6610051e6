/**
 * Agents: the model is asked, it asks for a tool, and again, on a stack of its own against a
 * labelled model server and a labelled HTTP tool that both answer at once.
 *
 * What is counted: agents/s and durable steps/s (a model turn or a tool call that was asked for and
 * answered), 100 agents at once, and the same of peers where they are installed; the time per step
 * of one agent alone; and what agent-orchestrator does by itself, with the other services asleep
 * and their answers published by the bench.
 */
import { openBench } from './bench-stack.mjs';
import { contender, opening, steps, takeTurns } from './contender.mjs';
import { cpuOfRuns, pidsOf, printCpu } from './cpu-time.mjs';
import { figure, figuresOf, median, percentile, round } from './figures.mjs';
import { followEnds } from './job-ends.mjs';
import { inLanes } from './lanes.mjs';
import { aloneTransitions } from './orchestrator-alone.mjs';
import { openPeers, peerNames } from './peers.mjs';

const topic = 'jobs.submitted.v1';
/**
 * Runs become faster up to 5,000 agents, as V8 and the JVM compile: the broker takes half as much
 * CPU for a step then as after 2,000. Transitions come in rounds, each over when its last one is
 * told: of 1,000 workflows, a tenth of the time is its beginning and its end.
 */
const fullSize = {
  agents: 500,
  atOnce: 100,
  runs: 3,
  warmUp: 5_000,
  alone: 40,
  transitions: { workflows: 4_000, runs: 3 },
};
const shortSize = {
  agents: 20,
  atOnce: 10,
  runs: 1,
  warmUp: 10,
  alone: 3,
  transitions: { workflows: 50, runs: 1 },
};
/** Longest that one agent takes before its run is void. */
const agentMsMax = 120_000;

/**
 * @param {{ short: boolean, peers: boolean, cpuProf?: string }} options
 * @returns the rows of the figures
 */
export async function benchAgents({ short, peers: wanted, cpuProf }) {
  const size = short ? shortSize : fullSize;
  const bench = await openBench({ cpuProf });
  const tool = await bench.startHelper('tool-server.mjs', ['0']);
  const ends = await followEnds(bench, { waitMsMax: agentMsMax });
  try {
    await bench.setModelMs(0);
    await register(bench, tool);
    const ours = contender({
      name: 'millrace',
      run: (each) => run(bench, ends, each),
      pids: pidsOf(bench, { 'model server': bench.model.pid, tool: tool.pid }),
    });
    const peers = await openPeers({ wanted, bench, toolPort: tool.port });
    await takeTurns([ours, ...peers.contenders], size).finally(peers.close);
    const loop = [...oursFigures(ours), ...peerFigures(ours, peers.contenders)];
    return [...loop, ...(await aloneFigures(bench, ends, size))];
  } finally {
    await ends.stop();
    tool.child.disconnect();
    await bench.close();
  }
}

/** @param {import('./contender.mjs').Contender} ours */
function oursFigures(ours) {
  const rates = ours.runs.map(({ rate }) => rate);
  const note = ours.gone ?? '';
  const [cpu, cpuNote] = cpuOfRuns(ours.runs, 'of all our processes, Kafka and Postgres');
  printCpu('steps', ours.runs);
  return [
    figure('agents/workflows', rates.map((rate) => rate / steps), note),
    figure('agents/steps', rates, note),
    figure('agents/cpu-per-1000-steps', cpu, note || cpuNote),
  ];
}

/**
 * @param {import('./contender.mjs').Contender} ours
 * @param {readonly import('./contender.mjs').Contender[]} peers
 */
function peerFigures(ours, peers) {
  const rows = peerNames.map((name) => {
    const peer = peers.find((each) => each.name === name);
    const rates = peer.runs.map(({ rate }) => rate);
    return figure(`agents/steps-per-s-${name}`, rates, peer.gone ?? costOf(peer));
  });
  const measured = peers.filter(({ runs }) => runs.length > 0);
  // Run by run: a busy minute of the machine met both.
  const ratios = ours.runs.flatMap(({ rate }, n) => {
    const others = measured.flatMap(({ runs }) => (runs[n] === undefined ? [] : [runs[n].rate]));
    return others.length === 0 ? [] : [rate / Math.max(...others)];
  });
  const note = ratios.length === 0 ? (ours.gone ?? 'no peer was measured') : '';
  return [...rows, figure('agents/ratio-to-best-peer', ratios, note)];
}

function costOf({ runs }) {
  const [cpu, note] = cpuOfRuns(runs, 'CPU-s per 1,000 steps');
  return cpu.length === 0 ? note : `${round(median(cpu))} ${note}`;
}

/** One agent alone, and one service alone. */
async function aloneFigures(bench, ends, size) {
  const [p50, p99] = ['agents/step-alone-p50', 'agents/step-alone-p99'];
  const lone = await figuresOf([p50, p99], async () => {
    const perStep = await alone(bench, ends, size.alone);
    const note = `n = ${perStep.length}`;
    return [
      figure(p50, [percentile(perStep, 50)], note),
      figure(p99, [percentile(perStep, 99)], note),
    ];
  });
  // What it counts takes CPU from what comes next.
  await ends.stop();
  const name = 'agents/transitions-alone';
  const transitions = await figuresOf([name], async () => [
    figure(name, await aloneTransitions(bench, size.transitions), 'with Postgres and Kafka'),
  ]);
  return [...lone, ...transitions];
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

/** So many at once, the next as soon as one has ended. @returns seconds */
function run(bench, ends, { count, atOnce, label }) {
  return inLanes({ count, atOnce }, (n) => runAgent(bench, ends, `bench-${label}-${n}`));
}

/** One after another. @returns milliseconds per step of each */
async function alone(bench, ends, count) {
  const perStep = [];
  for (let n = 0; n < count; n += 1) {
    const startedAt = performance.now();
    const endedAt = await runAgent(bench, ends, `bench-alone-${n}`);
    perStep.push((endedAt - startedAt) / steps);
  }
  return perStep;
}

/** @returns when its end was told */
async function runAgent({ producer }, ends, id) {
  const ended = ends.of(id);
  const [endedAt] = await Promise.all([ended, producer.send({ topic, messages: [record(id)] })]);
  return endedAt;
}

function record(id) {
  const params = {
    model: 'claude-sonnet-5-5',
    max_tokens: 256,
    tools: ['look'],
    messages: [{ role: 'user', content: opening }],
  };
  const headers = {
    ce_type: 'millrace.job.submitted.v1',
    ce_id: id,
    'content-type': 'application/json',
  };
  return { key: id, headers, value: JSON.stringify({ type: 'agent', job_id: id, params }) };
}

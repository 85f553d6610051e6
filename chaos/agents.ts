/**
 * Agents through a night in which every service is killed, again and again, at random moments.
 *
 * A stack of its own with two processes of each service, a model and tools that take their time.
 * What was sent is known from those who received it, what was committed from the tables, and
 * `agent-checks.ts` compares the two.
 */
import { setTimeout as delay } from 'node:timers/promises';

import { figure, round } from '../bench/figures.mjs';
import { agentChecks, cutOff, thinness } from './agent-checks.ts';
import { isAllTold, readHistory, type Night } from './agent-night-record.ts';
import type { ChaosOptions } from './chaos-options.ts';
import { openChaosStack, type ChaosStack } from './chaos-stack.ts';
import type { AgentHistory } from './agent-history.ts';
import { findingsNote } from './findings-note.ts';
import { killByPlan, planKills, type PlannedKill } from './kill-plan.ts';
import { seededRandom } from './seeded-random.ts';

/** Ten of each of the five services. */
const killsDefault = 50;
const jobsDefault = 200;
/** A process that was killed is up again in two to four seconds; sometimes that is cut off, too. */
const gapMs = 5_000;
/** An agent asks for eight calls of tools in six turns, and takes some 20 s when nobody dies. */
const turns = 6;
/** Far beyond the goal: what has not ended by then is counted as it stands. */
const settleMsMax = 180_000;
const acceptMsMax = 60_000;

/** @returns the rows of the figures */
export async function agentsChaos(options: ChaosOptions) {
  const { jobs = jobsDefault, kills = killsDefault } = options;
  const seed = options.seed ?? Date.now() % 1_000_000;
  console.log(`  ${jobs} agents, ${kills} kills, seed ${seed}: starting a stack …`);
  const chaos = await openChaosStack(seed);
  try {
    await registerTools(chaos);
    const plan = planKills({ seed, kills, gapMs, victims: chaos.victims });
    const night = await runNight(chaos, { plan, jobs, seed });
    await settle(chaos, night);
    const history = await readHistory(chaos, night);
    return figuresOf(history, { night, planned: plan.length, seed });
  } finally {
    await chaos.close();
  }
}

async function registerTools({ stack, tools }: ChaosStack): Promise<void> {
  for (const [name, effect] of [['look', 'read'], ['change', 'write']]) {
    const response = await fetch(`${stack.urls['api']}/v1/tools/${name}`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${stack.apiKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        description: `the tool ${name}`,
        input_schema: { type: 'object' },
        target: { kind: 'http', url: `http://127.0.0.1:${tools.port}/${name}` },
        effect,
        approval: 'never',
        timeout_seconds: 30,
      }),
    });
    if (!response.ok) throw new Error(`the tool ${name} was answered with ${response.status}`);
  }
}

interface NightPlan {
  readonly plan: readonly PlannedKill[];
  readonly jobs: number;
  readonly seed: number;
}

/** Kills by plan while agents are handed over, at random moments of the same time. */
async function runNight(chaos: ChaosStack, { jobs, plan, seed }: NightPlan): Promise<Night> {
  const random = seededRandom(seed + 1);
  const lastsMs = plan.at(-1)?.atMs ?? 0;
  const beganAtMs = Date.now();
  const handing = Array.from({ length: jobs }, async (_, i) => {
    await delay(random() * lastsMs);
    return submit(chaos, `night-${seed}-${i}`);
  });
  const killing = killByPlan(plan, {
    beganAtMs,
    untilAlive: (name) => untilAlive(chaos, name),
    kill: (name) => chaos.stack.kill(name),
  });
  const [accepted, kills] = await Promise.all([Promise.all(handing), killing]);
  const endedAtMs = Math.max(Date.now(), ...kills.map(({ atMs }) => atMs));
  console.log(`  ${kills.length} kills in ${round((endedAtMs - beganAtMs) / 1_000)} s`);
  return { accepted, kills, faultsEndedAtMs: kills.at(-1)?.atMs ?? endedAtMs };
}

async function untilAlive({ stack }: ChaosStack, name: string): Promise<void> {
  while (stack.pid(name) === undefined) await delay(20);
}

/** Tries until it is acknowledged, at whatever replica, as a caller with an id of its own may. */
async function submit({ apiUrls, stack, tools }: ChaosStack, id: string): Promise<string> {
  const body = JSON.stringify({
    job_id: id,
    type: 'agent',
    callback_url: `http://127.0.0.1:${tools.port}/webhook`,
    params: {
      model: 'claude-sonnet-5-5',
      max_tokens: 256,
      tools: ['look', 'change'],
      messages: [{ role: 'user', content: `Look around. agent=${id} turns=${turns}` }],
    },
  });
  const headers = { authorization: `Bearer ${stack.apiKey}`, 'content-type': 'application/json' };
  const givenUpAtMs = performance.now() + acceptMsMax;
  for (let n = 0; performance.now() < givenUpAtMs; n += 1) {
    const request = { method: 'POST', headers, body, signal: AbortSignal.timeout(10_000) };
    const status = await fetch(`${apiUrls[n % apiUrls.length]}/v1/jobs`, request).then(
      async (response) => {
        await response.arrayBuffer();
        return response.status;
      },
      () => null,
    );
    if (status === 202) return id;
    if (status !== null && status < 500) throw new Error(`${id} was answered with ${status}`);
    await delay(100);
  }
  throw new Error(`${id} was not acknowledged within ${acceptMsMax} ms`);
}

/** Waits until all is told, or for so long that it will not be. */
async function settle(chaos: ChaosStack, night: Night): Promise<void> {
  const givenUpAtMs = performance.now() + settleMsMax;
  while (performance.now() < givenUpAtMs && !(await isAllTold(chaos, night))) await delay(500);
}

interface Outcome {
  readonly night: Night;
  readonly planned: number;
  readonly seed: number;
}

function figuresOf(history: AgentHistory, { night, planned, seed }: Outcome) {
  const thin = thinness(history, planned);
  const row = (name: string, value: number, note: string) =>
    figure(`chaos-agents/${name}`, thin === null ? [value] : [], thin ?? note);
  const populations = populationsOf(history);
  const checked = Object.entries(agentChecks).map(([name, check]) => {
    const found = check(history);
    const population = populations[name] ?? history.accepted.length;
    return row(name, found.length, findingsNote(found, population));
  });
  const lastEndMs = Math.max(...history.workflows.map(({ endedAtMs }) => endedAtMs ?? Infinity));
  const afterS = Math.max(0, (lastEndMs - night.faultsEndedAtMs) / 1_000);
  return [
    row('kills', history.kills.length, `seed ${seed}; ${inFlightOf(history)}`),
    ...checked,
    row('end-after-faults', afterS, endsOf(history)),
  ];
}

/** How many there were that could have been found. */
function populationsOf({ modelSends, toolSends }: AgentHistory): Record<string, number> {
  const calls = (sends: readonly { callId: string }[]) =>
    new Set(sends.map(({ callId }) => callId)).size;
  const toolCalls = calls(toolSends);
  const modelCalls = calls(modelSends);
  return {
    'repeated-sends': toolCalls,
    'sends-after-commit': toolCalls,
    'unsteady-keys': toolCalls,
    'steps-never-sent': toolCalls,
    'repeated-paid-calls': modelCalls,
    'unlabelled-paid-calls': modelCalls,
  };
}

function inFlightOf({ kills, modelSends, toolSends }: AgentHistory): string {
  const again = (sends: readonly { callId: string }[]) =>
    sends.length - new Set(sends.map(({ callId }) => callId)).size;
  const tools = cutOff(toolSends, kills, 'tool-runner');
  const models = cutOff(modelSends, kills, 'claude-worker');
  return (
    `of ${toolSends.length} calls of tools ${tools} may have been in flight at a kill and ` +
    `${again(toolSends)} were sent again; of ${modelSends.length} of the model ${models} and ` +
    `${again(modelSends)}`
  );
}

function endsOf({ statuses }: AgentHistory): string {
  const ends = Map.groupBy([...statuses.values()], (status) => status);
  return [...ends].map(([status, jobs]) => `${jobs.length} ${status}`).join(', ');
}

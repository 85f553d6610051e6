/**
 * Webhooks through a night in which webhook-dispatcher is killed, again and again, at random
 * moments.
 *
 * A stack of its own with several dispatchers and a receiver that takes its time. Half of the ended
 * jobs are there before the first kill, so that each finds deliveries under way; the others are
 * published between the kills, so that intake is killed, too. What was sent is known from who
 * received it, and `webhook-checks.ts` compares it with what Kafka acknowledged.
 */
import { setTimeout as delay } from 'node:timers/promises';

import { figure, round } from '../bench/figures.mjs';
import { finishedJob } from '../bench/finished-jobs.mjs';
import type { Kill } from './agent-history.ts';
import type { ChaosOptions } from './chaos-options.ts';
import { findingsNote } from './findings-note.ts';
import { killByPlan, planKills, type PlannedKill } from './kill-plan.ts';
import { seededRandom } from './seeded-random.ts';
import {
  duplicates,
  thinness,
  usefulKills,
  webhookChecks,
  type WebhookHistory,
  type WebhookSend,
} from './webhook-checks.ts';
import { openWebhookStack, type WebhookStack } from './webhook-stack.ts';

const killsDefault = 50;
const jobsDefault = 10_000;
/** With six dispatchers the plan needs some 4 s a kill: none may end too often a minute. */
const gapMs = 3_000;
/** Every so many jobs have a callback beside the endpoint. */
const callbackEvery = 5;
const batchSize = 500;
/** Far beyond the goal: what has not ended by then is counted as it stands. */
const settleMsMax = 120_000;
const topic = 'jobs.finished.v1';

/** @returns the rows of the figures */
export async function webhooksChaos(options: ChaosOptions) {
  const { jobs = jobsDefault, kills = killsDefault } = options;
  const seed = options.seed ?? Date.now() % 1_000_000;
  console.log(`  ${jobs} ended jobs, ${kills} kills, seed ${seed}: starting a stack …`);
  const chaos = await openWebhookStack(seed);
  try {
    const plan = planKills({ seed, kills, gapMs, victims: chaos.victims });
    const events = Array.from({ length: jobs }, (_, n) => eventOf(chaos, `night-${seed}-${n}`, n));
    const done = await runNight(chaos, { plan, events, seed });
    await chaos.receiver.ask('hurry');
    const endedAtMs = await settle(chaos, events);
    const { sends } = await chaos.receiver.ask<{ sends: WebhookSend[] }>('tell');
    const expected = events.flatMap((event) => event.expected);
    const { open } = await chaos.deliveries();
    const history = { expected, kills: done, sends, open };
    return figuresOf(history, { planned: plan.length, seed, endedAtMs });
  } finally {
    await chaos.close();
  }
}

interface Event {
  readonly record: ReturnType<typeof finishedJob>;
  /** The path of each receiver, and the job. */
  readonly expected: readonly string[];
}

function eventOf({ receiver }: WebhookStack, id: string, n: number): Event {
  const told = [`/endpoint ${id}`];
  if (n % callbackEvery !== 0) return { record: finishedJob({ id }), expected: told };
  const callback = `http://127.0.0.1:${receiver.port}/callback`;
  return { record: finishedJob({ id, callback }), expected: [...told, `/callback ${id}`] };
}

interface NightPlan {
  readonly plan: readonly PlannedKill[];
  readonly events: readonly Event[];
  readonly seed: number;
}

async function runNight(chaos: WebhookStack, { events, plan, seed }: NightPlan): Promise<Kill[]> {
  const random = seededRandom(seed + 1);
  const half = Math.ceil(events.length / 2);
  await publish(chaos, events.slice(0, half));
  while ((await chaos.deliveries()).all < expectedOf(events.slice(0, half))) await delay(100);
  const beganAtMs = Date.now();
  const lastsMs = plan.at(-1)?.atMs ?? 0;
  const publishing = events.slice(half).map(async (event) => {
    await delay(random() * lastsMs);
    return publish(chaos, [event]);
  });
  const killing = killByPlan(plan, {
    beganAtMs,
    untilAlive: (name) => chaos.stack.ready(name),
    kill: (name) => chaos.stack.kill(name),
  });
  const [kills] = await Promise.all([killing, ...publishing]);
  console.log(`  ${kills.length} kills in ${round((Date.now() - beganAtMs) / 1_000)} s`);
  return kills;
}

async function publish({ producer }: WebhookStack, events: readonly Event[]): Promise<void> {
  for (let from = 0; from < events.length; from += batchSize) {
    const messages = events.slice(from, from + batchSize).map(({ record }) => record);
    await producer.send({ topic, messages });
  }
}

function expectedOf(events: readonly Event[]): number {
  return events.reduce((sum, { expected }) => sum + expected.length, 0);
}

/** Waits until all has ended, or for so long that it will not. @returns when it had */
async function settle(chaos: WebhookStack, events: readonly Event[]): Promise<number> {
  const givenUpAtMs = Date.now() + settleMsMax;
  const expected = expectedOf(events);
  while (Date.now() < givenUpAtMs) {
    const { all, open } = await chaos.deliveries();
    if (all >= expected && open === 0) break;
    await delay(200);
  }
  return Date.now();
}

interface Outcome {
  readonly planned: number;
  readonly seed: number;
  readonly endedAtMs: number;
}

function figuresOf(history: WebhookHistory, { endedAtMs, planned, seed }: Outcome) {
  const thin = thinness(history, planned);
  const row = (name: string, value: number, note: string) =>
    figure(`chaos-webhooks/${name}`, thin === null ? [value] : [], thin ?? note);
  const checked = Object.entries(webhookChecks).map(([name, check]) => {
    const found = check(history);
    return row(name, found.length, findingsNote(found, history.expected.length));
  });
  const { kills, sends } = history;
  const useful = `${usefulKills(history)} of them found a POST under way`;
  const again = `of ${sends.length} POSTs ${duplicates(history)} came again`;
  const afterS = (endedAtMs - (kills.at(-1)?.atMs ?? endedAtMs)) / 1_000;
  return [
    row('kills', kills.length, `seed ${seed}; ${useful}; ${again}`),
    ...checked,
    row('end-after-faults', afterS, 'from the last kill until nothing waits'),
  ];
}

import { setTimeout as delay } from 'node:timers/promises';

import type { Kill } from './agent-history.ts';
import { seededRandom, shuffled } from './seeded-random.ts';

/** One process to be killed, so many milliseconds after the faults began. */
export interface PlannedKill {
  readonly service: string;
  /** The process's name in the stack. */
  readonly name: string;
  readonly atMs: number;
}

export interface KillPlanOptions {
  readonly seed: number;
  readonly kills: number;
  /** Processes of each service. */
  readonly victims: ReadonlyMap<string, readonly string[]>;
  /** On average, between two kills. */
  readonly gapMs: number;
}

/** The stack gives a process up that ends more than five times a minute. */
const endsMax = 3;
const endsWindowMs = 75_000;

/**
 * Who is killed when: each service equally often, in a random order, at random moments, in the
 * replica that chance picks.
 */
export function planKills({ gapMs, kills, seed, victims }: KillPlanOptions): PlannedKill[] {
  const random = seededRandom(seed);
  const services = [...victims.keys()];
  const turns = Array.from({ length: kills }, (_, i) => services[i % services.length] ?? '');
  const planned: PlannedKill[] = [];
  let atMs = 0;
  for (const service of shuffled(turns, random)) {
    const names = victims.get(service) ?? [];
    const freeAtMs = (name: string) =>
      (planned.filter((kill) => kill.name === name).at(-endsMax)?.atMs ?? -endsWindowMs) +
      endsWindowMs;
    // When all its replicas have had theirs for now, the next kill waits.
    atMs = Math.max(atMs + Math.round(2 * gapMs * random()), Math.min(...names.map(freeAtMs)));
    const open = names.filter((name) => freeAtMs(name) <= atMs);
    const name = open[Math.floor(random() * open.length)];
    if (name === undefined) throw new Error(`${service} has no process`);
    planned.push({ service, name, atMs });
  }
  return planned;
}

export interface KillingOptions {
  readonly beganAtMs: number;
  readonly untilAlive: (name: string) => Promise<unknown>;
  readonly kill: (name: string) => unknown;
}

/** @returns who was killed when, as it came. */
export async function killByPlan(
  plan: readonly PlannedKill[],
  { beganAtMs, kill, untilAlive }: KillingOptions,
): Promise<Kill[]> {
  const kills: Kill[] = [];
  for (const { atMs, name, service } of plan) {
    await delay(Math.max(0, beganAtMs + atMs - Date.now()));
    // One that is still on its way up from the last time has nothing to lose yet.
    await untilAlive(name);
    kills.push({ service, name, atMs: Date.now() });
    kill(name);
  }
  return kills;
}

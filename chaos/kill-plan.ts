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

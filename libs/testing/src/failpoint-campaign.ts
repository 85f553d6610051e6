import type { ArmedFailpoint } from '@millrace/runtime';

import { placeOf, type FailpointLane } from './failpoint-lane.ts';

/** An error costs nothing; the others cost a process, and come last. */
const actions = ['throw', 'crash', 'hang'] as const;
const visits = [1, 2] as const;
/** Without `MILLRACE_FAILPOINTS=all` so many days pass until each crash and each hang was tried. */
const sampleDays = 6;
const dayMs = 86_400_000;

/** Every way to fail at these places: behind an effect an error means that it was done. */
export function allFailures(names: readonly string[]): ArmedFailpoint[] {
  return actions.flatMap((action) =>
    visits.flatMap((visit) => names.map((name) => ({ name, action, visit }))),
  );
}

/** What of that this run tries: all errors, and all or some of the crashes and hangs. */
export function failuresOfRun(names: readonly string[], at = new Date()): ArmedFailpoint[] {
  const all = allFailures(names);
  if (isWhole()) return all;
  const day = Math.floor(at.getTime() / dayMs);
  return all.filter(({ action }, i) => action === 'throw' || (i + day) % sampleDays === 0);
}

const isWhole = (): boolean => process.env['MILLRACE_FAILPOINTS'] === 'all';

/**
 * Has a service fail at all of these places, each lane at one after the other.
 *
 * @returns what went otherwise than it should have, by place; nothing when all went well
 */
export async function failEverywhere(o: {
  readonly service: string;
  readonly places: readonly ArmedFailpoint[];
  readonly lanes: readonly FailpointLane[];
}): Promise<ReadonlyMap<string, unknown>> {
  const { lanes, places, service } = o;
  const faults = new Map<string, unknown>();
  const left = [...places];
  const beganMs = performance.now();
  await Promise.all(
    lanes.map(async (lane) => {
      for (let place = left.shift(); place !== undefined; place = left.shift()) {
        const beganMs = performance.now();
        const fault = await lane.failAt(place).then(
          () => undefined,
          (error: unknown) => error,
        );
        if (fault !== undefined) faults.set(placeOf(place), fault);
        tellProgress(`${placeOf(place)} ${fault === undefined ? 'as it should' : 'FAILED'}`, {
          ms: performance.now() - beganMs,
          left: left.length,
        });
      }
      await lane.leaveInPeace();
    }),
  );
  const seconds = Math.round((performance.now() - beganMs) / 1_000);
  const names = new Set(places.map(({ name }) => name)).size;
  say(`${service} failed in ${places.length} ways at ${names} places within ${seconds} s`);
  return faults;
}

/** Who asked for all waits for minutes, and wants to see that it goes on. */
function tellProgress(what: string, { left, ms }: { left: number; ms: number }): void {
  if (!isWhole()) return;
  say(`${what}, ${(ms / 1_000).toFixed(1)} s; ${left} left`);
}

/** A line that `tools/check/stages.mjs` shows. */
function say(line: string): void {
  process.stderr.write(`› ${line}\n`);
}

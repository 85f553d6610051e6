import { isTerminal, type JobView } from '@millrace/contracts';

/** Milliseconds after its end during which the events of a job can be read: a day. */
export const eventsKeptMs = 24 * 3_600_000;
/** How far the life of a connection may be from the mean, as a part of it. */
const lifeSpread = 0.2;

/**
 * How long a connection lives before its client is to connect again, so that streams spread over
 * replicas that came later.
 *
 * @param meanMs milliseconds
 * @param random from 0 to 1, so that streams opened together do not come back together
 */
export function streamLifeMs(meanMs: number, random: number): number {
  return Math.round(meanMs * (1 - lifeSpread + 2 * lifeSpread * random));
}

/** Whether a job ended so long ago that its events are gone. The job itself stays readable. */
export function eventsAreGone(view: JobView, nowMs: number): boolean {
  if (!isTerminal(view.status) || view.finished_at === undefined) return false;
  return nowMs - Date.parse(view.finished_at) >= eventsKeptMs;
}

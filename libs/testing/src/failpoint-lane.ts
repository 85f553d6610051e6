import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';

import { armFailpoint, failpointReached, parseFailpoint } from '@millrace/runtime';
import type { ArmedFailpoint } from '@millrace/runtime';

import type { ChildProgram } from './child-program.ts';

/** Work comes so often until a place is passed: timers go to whichever process looks first. */
const workEveryMs = 500;
/** From the start of a process, or from a place that was armed, to what is waited for. */
const withinMs = 45_000;
/** What a process says when it has started. */
export const obeysFailpoints = 'it serves, and fails where it is told to';
const inPeace = 'in peace';

/** In a service's process, after its start: it fails where its standard input says. */
export function obeyFailpoints(): void {
  createInterface(process.stdin).on('line', (line) => {
    void armFailpoint(line === inPeace ? undefined : parseFailpoint(line));
  });
  process.stdout.write(`${obeysFailpoints}\n`);
}

/** A service that fails where a lane wants it to. */
export interface FailingService {
  /** Starts a process of it that calls {@link obeyFailpoints}; the `nth` of this lane, from 1. */
  start(nth: number): Promise<ChildProgram>;
  /** Gives it a little work, of all the kinds that pass the places. */
  work(): Promise<void>;
}

/** `name:action:visit` */
export function placeOf({ action, name, visit }: ArmedFailpoint): string {
  return `${name}:${action}:${visit}`;
}

/**
 * A service in surroundings of its own, one process at a time: it fails at one place after the
 * other. Only a crash and a hang cost it its process.
 */
export class FailpointLane {
  #child: ChildProgram | undefined;
  #starts = 0;

  constructor(private readonly service: FailingService) {}

  /** Has it pass a place and fail there. @throws when it does not. */
  async failAt(place: ArmedFailpoint): Promise<void> {
    const child = await this.#running();
    child.tell(placeOf(place));
    await this.#workUntil(child, failpointReached(place));
    switch (place.action) {
      case 'throw':
        if (child.isGone) throw new Error(`an error ended it; it said: ${child.said}`);
        return;
      case 'crash':
        return child.gone();
      case 'hang':
        if (child.isGone) throw new Error(`it ended in place of hanging; it said: ${child.said}`);
        // As what asks for its liveness does.
        return child.kill();
    }
  }

  /** Leaves one process that fails nowhere. */
  async leaveInPeace(): Promise<void> {
    const child = await this.#running();
    child.tell(inPeace);
  }

  async stop(): Promise<void> {
    await this.#child?.kill();
  }

  async #running(): Promise<ChildProgram> {
    if (this.#child !== undefined && !this.#child.isGone) return this.#child;
    this.#starts += 1;
    this.#child = await this.service.start(this.#starts);
    await this.#child.until(this.#child.hears(obeysFailpoints), withinMs);
    return this.#child;
  }

  async #workUntil(child: ChildProgram, said: string): Promise<void> {
    let isSaid = false;
    const waiting = child.hears(said).then(() => (isSaid = true));
    const deadlineMs = performance.now() + withinMs;
    while (!isSaid) {
      if (performance.now() > deadlineMs) {
        throw new Error(`not «${said}» within ${withinMs} ms; it said: ${child.said}`);
      }
      await this.service.work();
      await Promise.race([waiting, delay(workEveryMs)]);
    }
  }
}

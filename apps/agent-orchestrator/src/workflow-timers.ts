import { extractTrace, failpoint, type Logger } from '@millrace/runtime';

import type { PostgresWorkflows } from './adapters/postgres-workflows.ts';
import type { OrchestratorTelemetry } from './orchestrator-telemetry.ts';
import type { Arrival, DueTimer } from './ports.ts';
import type { WorkflowArrivals } from './workflow-arrivals.ts';
import type { WorkflowEngine } from './workflow-engine.ts';

/** Timers of one turn: one statement's worth. */
const timersMax = 500;
/** A timer that another replica sets is found this late, at most. */
const lookEveryMs = 250;
/** How often parked workflows are tried again. */
const unparkEveryMs = 60_000;
/** Events of one page of what waits; their bytes have a limit, too. */
const unparkMax = 200;

export interface WorkflowTimersParts {
  readonly workflows: PostgresWorkflows;
  readonly engine: WorkflowEngine;
  readonly arrivals: WorkflowArrivals;
  readonly telemetry: OrchestratorTelemetry;
  readonly log: Logger;
}

/**
 * Wakes workflows: by their timers, when these are due by the database's clock, and after they were
 * parked, when this process may be able to go on with them.
 */
export class WorkflowTimers {
  #stopped = false;
  #timer: NodeJS.Timeout | undefined;
  #turn: Promise<void> = Promise.resolve();
  /** What failed for a bug is tried once by each process: a new release is new processes. */
  #codes: readonly string[] = ['internal', 'bad_row'];
  #unparkAt = 0;
  /** Where the next page begins. */
  #unparkAfter = '0';

  constructor(private readonly parts: WorkflowTimersParts) {}

  start(): void {
    this.#schedule(0);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#turn;
  }

  #schedule(delayMs: number): void {
    if (this.#stopped) return;
    this.#timer = setTimeout(() => {
      this.#turn = this.#look().then((waitMs) => this.#schedule(waitMs));
    }, delayMs);
    this.#timer.unref();
  }

  /** @returns how long to wait before the next look. Never throws. */
  async #look(): Promise<number> {
    try {
      const nextDueInMs = await this.#fire();
      await this.#unpark();
      if (this.#unparkAfter !== '0') return 0;
      return Math.min(lookEveryMs, Math.max(0, nextDueInMs ?? lookEveryMs));
    } catch (error) {
      if (!this.#stopped) this.parts.log.warn({ error }, 'timers are looked at again in a second');
      return 1_000;
    }
  }

  async #fire(): Promise<number | null> {
    const { engine, telemetry, workflows } = this.parts;
    const { due, nextDueInMs } = await workflows.takeTimers(timersMax);
    if (due.length > 0) await failpoint('timers.taken');
    const nowMs = Date.now();
    for (const timer of due) telemetry.timerTaken(timer, nowMs);
    if (due.length > 0) {
      await engine.apply(due.map(firedTimer));
      await failpoint('timers.applied');
    }
    return nextDueInMs;
  }

  /**
   * A page of what waited beside workflows that may go on by now, oldest first; the next look takes
   * the next page, so that timers do not wait for all of it.
   */
  async #unpark(): Promise<void> {
    if (performance.now() < this.#unparkAt) return;
    const { arrivals, engine, workflows } = this.parts;
    const page = { after: this.#unparkAfter, limit: unparkMax };
    const events = await workflows.parkedEvents(this.#codes, page);
    const tried: Arrival[] = [];
    for (const { event, trace, workflow } of events) {
      tried.push(await arrivals.ofParked(workflow, event, extractTrace(trace)));
    }
    await engine.apply(tried);
    const last = events.at(-1);
    this.#unparkAfter = last?.position ?? '0';
    if (last !== undefined) return;
    this.#codes = [];
    this.#unparkAt = performance.now() + unparkEveryMs;
  }
}

/** A timer as the event that it is. */
export function firedTimer({ name, trace, version, workflow }: DueTimer): Arrival {
  const event = { eventId: `timer:${name}:${version}`, type: 'timer_fired', name } as const;
  return {
    workflow,
    event,
    stored: event,
    head: null,
    unparks: false,
    context: extractTrace(trace),
    byOutbox: true,
    timer: { name, version },
  };
}

import type { Pool } from '@millrace/postgres';

import { Clock } from '../ports.ts';

/** Questions before the time counts as known: of these the quickest answer is believed. */
const questionsAtStart = 5;
/** Two clocks drift apart by a millisecond or so in this time. */
const askEveryMs = 10_000;

export interface DatabaseClockOptions {
  readonly pool: Pool;
  readonly onError: (error: unknown) => void;
}

/**
 * The database's time, told between two questions by the clock that only goes forward. What a
 * process takes for the date decides nothing: replicas may be hours apart, and one may be set while
 * it runs. A job whose acceptance lay before what was looked through would never count as silent.
 */
export class DatabaseClock extends Clock {
  /** The database's time when this process's monotonic clock was 0; its own until it is known. */
  #originMs: number | null = null;
  /** How far off that may be: half of what the answer took. */
  #unsureMs = Infinity;
  #timer: NodeJS.Timeout | undefined;
  #asking: Promise<void> | null = null;

  constructor(private readonly options: DatabaseClockOptions) {
    super();
  }

  now(): Date {
    if (this.#originMs === null) return new Date();
    return new Date(this.#originMs + performance.now());
  }

  /** Resolves when the time is known, or could not be learnt now. */
  async start(): Promise<void> {
    this.#timer = setInterval(() => void this.#askNext(), askEveryMs);
    for (let n = 0; n < questionsAtStart; n += 1) await this.#askNext({ isFirst: true });
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#asking;
  }

  /** One question at a time: an answer may take longer than it is until the next. */
  #askNext(o = { isFirst: false }): Promise<void> {
    this.#asking ??= this.#ask(o).finally(() => (this.#asking = null));
    return this.#asking;
  }

  async #ask({ isFirst }: { isFirst: boolean }): Promise<void> {
    const askedAtMs = performance.now();
    try {
      const { rows } = await this.options.pool.query<{ ms: number }>(nowText);
      const [answer] = rows;
      if (answer === undefined) return;
      const unsureMs = (performance.now() - askedAtMs) / 2;
      const originMs = answer.ms - askedAtMs - unsureMs;
      // What a slow answer cannot tell apart stays as it was, and time goes on evenly.
      const apartMs = Math.abs(originMs - (this.#originMs ?? Infinity));
      const isCloser = isFirst && unsureMs < this.#unsureMs;
      if (apartMs <= unsureMs && !isCloser) return;
      this.#originMs = originMs;
      this.#unsureMs = unsureMs;
    } catch (error) {
      this.options.onError(error);
    }
  }
}

const nowText = 'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS ms';

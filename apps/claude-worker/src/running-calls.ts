import { type Call, leftAtDispatchMs } from './core/call.ts';
import { type Deadlines, overdue } from './core/deadlines.ts';
import { CallExpired, DeadlinePassed } from './ports.ts';

/** After this long a call is told to be running: most are over before. */
const runningToldAfterMs = 1_000;
const tickMsMin = 10;
const tickMsMax = 250;

/** A call between its send and its answer. */
export class RunningCall {
  readonly #controller = new AbortController();
  readonly #onAbort: () => void;
  streamed = false;
  /** Null until it is sent; monotonic. */
  sentAtMs: number | null = null;
  lastEventAtMs: number | null = null;
  told = false;
  /** Monotonic; later than the database's by the time that the dispatch took to get here. */
  readonly #beganAtMs = performance.now();
  readonly #expiresAtMs: number;

  constructor(
    readonly call: Call,
    private readonly outer: AbortSignal,
    private readonly checkLease: () => void,
  ) {
    this.#expiresAtMs = this.#beganAtMs + leftAtDispatchMs(call);
    this.#onAbort = () => this.#controller.abort(outer.reason);
    if (outer.aborted) this.#onAbort();
    else outer.addEventListener('abort', this.#onAbort, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The database's time at a monotonic one: that of the dispatch, and what has gone by since. */
  databaseMs(nowMs: number): number {
    return this.call.dispatchedAtMs + (nowMs - this.#beganAtMs);
  }

  /** Ends it when its time or its lease is over, whatever the timers have said by now. */
  endIfOver(nowMs: number): void {
    this.checkLease();
    this.endExpired(nowMs);
  }

  begin(streamed: boolean, sentAtMs: number): void {
    this.streamed = streamed;
    this.sentAtMs = sentAtMs;
  }

  /** Ends it when its `complete_by` has passed, sent or not. */
  endExpired(nowMs: number): void {
    if (nowMs >= this.#expiresAtMs) this.abort(new CallExpired());
  }

  abort(reason: Error): void {
    this.#controller.abort(reason);
  }

  release(): void {
    this.outer.removeEventListener('abort', this.#onAbort);
  }
}

/**
 * The calls that this process runs. One interval looks after the deadlines of all of them: a
 * timer for each call and deadline would be armed again with every event of every stream.
 */
export class RunningCalls {
  readonly #running = new Set<RunningCall>();
  #timer: NodeJS.Timeout | undefined;
  #onTick: () => void = () => undefined;

  constructor(
    private readonly options: {
      readonly deadlines: Deadlines;
      readonly onRunning: (call: Call, at: Date) => void;
    },
  ) {}

  start(): void {
    const { firstEventMs, progressMs, totalMs } = this.options.deadlines;
    const shortestMs = Math.min(firstEventMs, progressMs, totalMs);
    const tickMs = Math.min(Math.max(shortestMs / 4, tickMsMin), tickMsMax);
    this.#timer = setInterval(() => this.#tick(performance.now()), tickMs);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Called at every look at the deadlines. */
  onTick(listener: () => void): void {
    this.#onTick = listener;
  }

  add(call: Call, signal: AbortSignal, checkLease: () => void): RunningCall {
    const running = new RunningCall(call, signal, checkLease);
    this.#running.add(running);
    return running;
  }

  remove(running: RunningCall): void {
    this.#running.delete(running);
    running.release();
  }

  #tick(nowMs: number): void {
    this.#onTick();
    for (const running of this.#running) {
      running.endExpired(nowMs);
      const { sentAtMs, streamed, lastEventAtMs } = running;
      if (sentAtMs === null) continue;
      const progress = { streamed, sentAtMs, lastEventAtMs };
      const reason = overdue(progress, this.options.deadlines, nowMs);
      if (reason !== null) running.abort(new DeadlinePassed(reason));
      if (!running.told && nowMs - sentAtMs >= runningToldAfterMs) {
        running.told = true;
        this.options.onRunning(running.call, new Date(running.databaseMs(nowMs)));
      }
    }
  }
}

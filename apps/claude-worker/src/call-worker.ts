import type { OutgoingMessage, PayloadCodec } from '@millrace/contracts';
import { isRefusal } from '@millrace/kafka';
import { DayKeeper, Outbox, type Pool } from '@millrace/postgres';
import { type Logger, type Metrics, names } from '@millrace/runtime';
import { WorkQueue } from '@millrace/work';

import { AccountGate } from './account-gate.ts';
import { BacklogTeller } from './backlog-teller.ts';
import { CallCompletions } from './call-completions.ts';
import { type CallOutcome, CallPolicy } from './call-policy.ts';
import { CallTelemetry } from './call-telemetry.ts';
import type { Call } from './core/call.ts';
import type { Deadlines } from './core/deadlines.ts';
import type { SettleLimits } from './core/settle-call.ts';
import { DeltaTeller } from './delta-teller.ts';
import type { Backlogs, BlobStore, CallLedger, ClaudeApi } from './ports.ts';
import { RunningCalls } from './running-calls.ts';

/** How often the queue's depth is counted. */
const lookEveryMs = 10_000;
/** Of `stopMs`, for what was aborted to be settled and for messages to leave. */
const stopReserveMsMax = 1_500;
const stopReserveShare = 1 / 4;
/** Of that reserve, for settling; the rest is for the messages. */
const settleShare = 2 / 3;

type Publish = (messages: readonly OutgoingMessage[]) => Promise<void>;

export interface CallWorkerOptions {
  readonly api: ClaudeApi;
  readonly ledger: CallLedger;
  readonly backlogs: Backlogs;
  readonly blobs: BlobStore;
  readonly codec: PayloadCodec;
  readonly pool: Pool;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly publish: Publish;
  /** The second publisher, for what may be late or lost: deltas and progress. */
  readonly publishProgress: Publish;
  readonly deadlines: Deadlines;
  readonly limits: SettleLimits;
  readonly sessionRetentionDays: number;
  readonly inFlightMax: number;
  readonly leaseMs: number;
  readonly deltaLingerMs: number;
  /** How long a stop may take, from its signal on. */
  readonly stopMs: number;
  /** What of that is over: the membership of the consumer group goes first. */
  readonly stoppingMs: () => number;
}

/** The queue of calls and all that works on it, started and stopped in order. */
export class CallWorker {
  readonly gate: AccountGate;
  readonly ledger: CallLedger;
  readonly completions: CallCompletions;
  readonly policy: CallPolicy;
  readonly queue: WorkQueue<Call, CallOutcome>;
  readonly #options: CallWorkerOptions;
  readonly #outbox: Outbox;
  readonly #days: DayKeeper;
  readonly #deltas: DeltaTeller;
  readonly #backlog: BacklogTeller;
  readonly #running: RunningCalls;
  #lookTimer: NodeJS.Timeout | undefined;

  constructor(options: CallWorkerOptions) {
    const { api, blobs, codec, deadlines, ledger, limits, log, metrics, pool } = options;
    this.#options = options;
    this.ledger = ledger;
    this.completions = new CallCompletions({ blobs, codec });
    const wake = (): void => this.queue.wake();
    this.gate = new AccountGate({ unitMs: limits.retryBaseMs, log, metrics, onOpened: wake });
    this.#outbox = new Outbox({
      pool,
      schema: 'worker',
      publish: options.publish,
      isRefusal,
      onError: (error) => log.warn({ error }, 'the outbox keeps messages for the next sweep'),
    });
    this.#days = new DayKeeper({
      pool,
      schema: 'worker',
      forget: () => this.#forgetSessions(),
      onDropped: (dropped) => log.info(dropped, 'days were dropped'),
      onError: (error) => log.warn({ error }, 'days are kept again in an hour'),
    });
    this.#deltas = new DeltaTeller({
      publish: options.publishProgress,
      codec,
      lingerMs: options.deltaLingerMs,
      log,
    });
    this.#backlog = new BacklogTeller({
      backlogs: options.backlogs,
      publish: options.publishProgress,
      codec,
      log,
    });
    this.#running = new RunningCalls({
      deadlines,
      onRunning: (call, at) => this.#deltas.tellRunning(call, at),
    });
    this.policy = new CallPolicy({
      api,
      ledger,
      blobs,
      codec,
      gate: this.gate,
      running: this.#running,
      deltas: this.#deltas,
      completions: this.completions,
      telemetry: new CallTelemetry({ log, metrics }),
      log,
      deadlines,
      limits,
      publish: (messages) => this.#outbox.publish(messages),
      wake,
    });
    this.queue = new WorkQueue({
      name: 'calls',
      schema: 'worker',
      pool,
      policy: this.policy,
      slotsMax: options.inFlightMax,
      leaseMs: options.leaseMs,
      log,
    });
  }

  async start(): Promise<void> {
    this.#running.start();
    this.#outbox.start();
    this.#backlog.start();
    this.#days.start();
    await this.queue.start();
    this.#lookTimer = setInterval(() => void this.#look(), lookEveryMs);
    this.#showInFlight();
  }

  async stop(): Promise<void> {
    clearInterval(this.#lookTimer);
    await this.#backlog.stop();
    const { stoppingMs, stopMs } = this.#options;
    const reserveMs = Math.min(stopReserveMsMax, stopMs * stopReserveShare);
    const settleMs = reserveMs * settleShare;
    const deadlineMs = Math.max(0, stopMs - reserveMs - stoppingMs());
    await this.queue.stop({ deadlineMs, settleMs });
    this.#running.stop();
    await this.#deltas.stop();
    await this.#days.stop();
    await this.ledger.close();
    await this.#outbox.stop();
  }

  async #forgetSessions(): Promise<boolean> {
    const { ledger, log, sessionRetentionDays } = this.#options;
    const { more, sessions } = await ledger.forgetSessions(sessionRetentionDays);
    if (sessions > 0) log.info({ sessions }, 'conversations were deleted that nobody used');
    return more;
  }

  #showInFlight(): void {
    const gauge = this.#options.metrics.gauge(names.metric.workInFlight, {
      help: 'Rows that this process runs.',
      labels: ['queue'],
    });
    const show = (): void => gauge.set({ queue: 'calls' }, this.queue.inFlight);
    show();
    this.#running.onTick(show);
  }

  async #look(): Promise<void> {
    const { log, metrics } = this.#options;
    try {
      const gauge = metrics.gauge(names.metric.workWaiting, {
        help: 'Rows that nobody runs yet.',
        labels: ['queue'],
      });
      gauge.set({ queue: 'calls' }, await this.ledger.countWaiting());
    } catch (error) {
      log.warn({ error }, 'the queue of calls cannot be looked at now');
    }
  }
}

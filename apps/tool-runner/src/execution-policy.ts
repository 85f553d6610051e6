import { topics, type OutgoingMessage, type PayloadCodec } from '@millrace/contracts';
import { eventMessage } from '@millrace/kafka';
import { BadRowError, type Outbox } from '@millrace/postgres';
import { extractTrace, failpoint } from '@millrace/runtime';
import {
  WorkCancelled,
  type Claimed,
  type Hold,
  type ReleaseUnheld,
  type Settled,
  type WorkPolicy,
  type WorkQueue,
} from '@millrace/work';

import {
  completionBytesMax,
  completionId,
  failed,
  succeeded,
  type Completion,
  type Failure,
  type Timing,
} from './core/completion.ts';
import type { Execution } from './core/execution.ts';
import type { OriginSlots } from './core/origin-slots.ts';
import { postponed, retryAfterMs, type Outcome, type ToolResult } from './core/outcome.ts';
import type { ExecutionTelemetry } from './execution-telemetry.ts';
import type { Executions } from './ports.ts';

export type ExecutionQueue = WorkQueue<Execution, Outcome>;

/** Processes that a call may cost: one that ends each of them is not handed to the next. */
const lostMax = 5;
/** Rows whose time is over that are ended with one heartbeat. */
const expiredMax = 200;

/** What an attempt may end with beside a result of a tool: the whole completion. */
export type RunResult =
  | { readonly result: ToolResult; readonly retries: number }
  | { readonly completion: Completion; readonly result: ToolResult };

export interface RunContext extends Hold {
  /** What the tool is handed on. */
  readonly traceHeaders: Readonly<Record<string, string>>;
}

/** Makes one attempt, whatever kind of execution it is. */
export type RunExecution = (execution: Execution, context: RunContext) => Promise<RunResult>;

export interface ExecutionPolicyOptions {
  readonly executions: Executions;
  readonly outbox: Outbox;
  readonly slots: OriginSlots;
  readonly codec: PayloadCodec;
  readonly run: RunExecution;
  readonly telemetry: ExecutionTelemetry;
  readonly retryBaseMs: number;
  /** Called when an origin that was full has room again: rows of it may be waiting. */
  readonly onRoom: () => void;
}

/** How the work queue runs executions: one run is one attempt. */
export class ExecutionPolicy implements WorkPolicy<Execution, Outcome> {
  constructor(private readonly options: ExecutionPolicyOptions) {}

  claim({ owner, limit }: { owner: string; limit: number }): Promise<Claimed<Execution>> {
    const { executions, slots } = this.options;
    const busy = slots.busy(performance.now());
    return executions.claim({ owner, limit, busy, roomElsewhere: slots.limits.inFlightMax });
  }

  async run(
    execution: Execution,
    signal: AbortSignal,
    checkLease: () => void,
  ): Promise<Outcome> {
    const startedAtMs = Date.now();
    const refusal = refusalOf(execution, performance.now());
    if (refusal !== null) return this.endedUnsent(execution, refusal, startedAtMs);
    const { onRoom, slots } = this.options;
    slots.take(execution);
    let answered = false;
    try {
      const at = { signal, checkLease, startedAtMs };
      const { outcome, result } = await this.attempt(execution, at);
      answered = isAnswer(result);
      return outcome;
    } finally {
      if (slots.release(execution, { answered, nowMs: performance.now() })) onRoom();
    }
  }

  crashed(execution: Execution, error: unknown): Outcome {
    // A row that Postgres refuses to settle would be run again for ever.
    if (!(error instanceof BadRowError) && execution.attempts < lostMax) {
      return { kind: 'retry', afterMs: postponedMs('crashed'), failure: internalFailure };
    }
    return this.endedUnsent(execution, internalFailure, Date.now());
  }

  async settle(execution: Execution, outcome: Outcome): Promise<Settled> {
    const { executions, outbox } = this.options;
    const message = outcome.kind === 'ended' ? this.messageOf(execution, outcome.completion) : null;
    try {
      const settled = await executions.settle({ execution, outcome, message });
      if (message === null) return 'waits';
      if (settled) outbox.publish([message]);
      else message.onSettled?.(new Error('the row was not ours any more'));
      return 'ended';
    } catch (error) {
      message?.onSettled?.(new Error('not committed'));
      throw error;
    }
  }

  cancelRequested(owner: string): Promise<string[]> {
    return this.options.executions.cancelRequested(owner);
  }

  async expire(owner: string): Promise<number> {
    const expired = await this.options.executions.claimExpired(owner, expiredMax);
    const nowMs = Date.now();
    await Promise.all(
      expired.map((execution) =>
        this.settle(execution, this.endedUnsent(execution, tooLate, nowMs)),
      ),
    );
    return expired.length;
  }

  reap(deadOwners: string[]): Promise<number> {
    return this.options.executions.reap(deadOwners);
  }

  releaseUnheld(options: ReleaseUnheld): Promise<number> {
    return this.options.executions.releaseUnheld(options);
  }

  private async attempt(
    execution: Execution,
    at: AttemptStart,
  ): Promise<{ outcome: Outcome; result: ToolResult }> {
    const { run, telemetry } = this.options;
    const span = telemetry.start(execution);
    try {
      const { checkLease, signal } = at;
      const { traceHeaders } = span;
      await failpoint('execution.sending');
      const ran = await run(execution, { signal, checkLease, traceHeaders });
      await failpoint('execution.sent');
      const outcome = this.outcomeOf(execution, ran, at);
      span.end(outcome, ran.result);
      return { outcome, result: ran.result };
    } catch (error) {
      span.crashed(error);
      throw error;
    }
  }

  private outcomeOf(execution: Execution, ran: RunResult, at: AttemptStart): Outcome {
    const { result } = ran;
    const finishedAtMs = Date.now();
    const attempts = execution.attempts + 1;
    const timing = { attempts, startedAtMs: at.startedAtMs, finishedAtMs };
    if (result.kind === 'postponed') {
      if (!(at.signal.reason instanceof WorkCancelled)) return postponed(result.reason);
      return this.ended(execution, failed(execution.request, cancelled, timing), timing);
    }
    if ('completion' in ran) return this.ended(execution, ran.completion, timing);
    if (result.kind === 'output') {
      const completion = succeeded(execution.request.data, result.output, timing);
      return this.ended(execution, completion, timing);
    }
    const afterMs = retryAfterMs(result, {
      attempts: execution.attempts,
      retries: ran.retries,
      baseMs: this.options.retryBaseMs,
      random: Math.random(),
      leftMs: execution.endsAtMs === null ? null : execution.endsAtMs - performance.now(),
    });
    if (afterMs !== null) return { kind: 'retry', afterMs, failure: result.failure };
    return this.ended(execution, failed(execution.request, result.failure, timing), timing);
  }

  private endedUnsent(execution: Execution, failure: Failure, nowMs: number): Outcome {
    const timing = { attempts: execution.attempts, startedAtMs: nowMs, finishedAtMs: nowMs };
    const completion = failed(execution.request, failure, timing);
    return { kind: 'ended', completion, attempted: false };
  }

  /** What does not fit into one record would never arrive. */
  private ended(execution: Execution, completion: Completion, timing: Timing): Outcome {
    const bytes = Buffer.byteLength(JSON.stringify(completion.data));
    const fits = bytes <= completionBytesMax;
    const told = fits ? completion : failed(execution.request, tooLarge, timing);
    return { kind: 'ended', completion: told, attempted: true };
  }

  private messageOf(execution: Execution, completion: Completion): OutgoingMessage {
    return completionMessage({
      tenant: execution.tenant,
      jobId: execution.request.data.job_id,
      callId: execution.callId,
      workflowId: completion.data.workflow_id,
      type: completion.type,
      json: JSON.stringify(completion.data),
      traceHeaders: execution.traceHeaders,
      codec: this.options.codec,
    });
  }
}

interface AttemptStart extends Hold {
  readonly startedAtMs: number;
}

export interface CompletionFacts {
  readonly tenant: string;
  readonly jobId: string;
  readonly callId: string;
  readonly workflowId: string;
  readonly type: string;
  readonly json: string;
  readonly traceHeaders: Readonly<Record<string, string>>;
  readonly codec: PayloadCodec;
}

/** The event that tells an end, the same however often it is told. */
export function completionMessage(facts: CompletionFacts): OutgoingMessage {
  const { callId, codec, jobId, json, tenant, traceHeaders, type, workflowId } = facts;
  return eventMessage({
    topic: topics.toolsCompleted,
    type,
    id: completionId(tenant, callId),
    source: 'tool-runner',
    subject: jobId,
    key: workflowId,
    time: new Date(),
    tenant,
    codec,
    context: extractTrace(traceHeaders),
    json,
  });
}

const cancelled = { code: 'cancelled', detail: 'the call was cancelled' } as const;
const tooLate = { code: 'deadline_exceeded', detail: 'the time of the run was over' } as const;
const tooLarge = { code: 'result_too_large', detail: 'the result does not fit an event' } as const;
const internalFailure = { code: 'internal', detail: 'the call could not be run here' } as const;
const lostTooOften = {
  code: 'tool_failed',
  detail: `the call was cut off ${lostMax} times by the end of the process that ran it`,
} as const;

/**
 * Why an attempt is not to be made; null: it is.
 * @param nowMs by the monotonic clock: this process's time of day decides nothing.
 */
function refusalOf(execution: Execution, nowMs: number): Failure | null {
  if (execution.cancelRequested) return cancelled;
  if (execution.lost >= lostMax) return lostTooOften;
  const { endsAtMs } = execution;
  return endsAtMs !== null && endsAtMs <= nowMs ? tooLate : null;
}

function postponedMs(reason: 'crashed'): number {
  const outcome = postponed(reason);
  return outcome.kind === 'postponed' ? outcome.afterMs : 0;
}

/** Whatever the server said: it is not hanging. */
function isAnswer(result: ToolResult): boolean {
  return result.kind === 'output' || (result.kind === 'failure' && result.status !== undefined);
}

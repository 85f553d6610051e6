/**
 * How claude-worker works on its queue.
 *
 * P1 Nothing is sent for a row that the ledger does not hold as DISPATCHED by this process.
 * P2 One run is one HTTP send at most; a retry is a row with `not_before`, never a sleep.
 * P3 What the gate holds back is put back unsent, and was no attempt.
 * P4 A completion is published only after the statement that holds it has committed.
 */
import { assertNever, type OutgoingMessage, type PayloadCodec } from '@millrace/contracts';
import { BadRowError } from '@millrace/postgres';
import type { Logger } from '@millrace/runtime';
import {
  type Claimed,
  LeaseLost,
  type ReleaseUnheld,
  type Settled,
  WorkCancelled,
  type WorkPolicy,
} from '@millrace/work';
import type { Context } from '@opentelemetry/api';

import type { AccountGate } from './account-gate.ts';
import type { CallCompletions, SettledAttempt } from './call-completions.ts';
import type { CallTelemetry, TracedAttempt } from './call-telemetry.ts';
import { type Call, type CallParams, jobIdOf } from './core/call.ts';
import { type ClaudeAnswer, noSource } from './core/claude-answer.ts';
import { isFields } from './core/claude-message.ts';
import { classifyAnswer } from './core/classify.ts';
import { type Deadlines, isStreamed, totalMsOf } from './core/deadlines.ts';
import { observationOf } from './core/gate.ts';
import { isEnding, messageOf, toldAttempt } from './core/job-finished.ts';
import { isCutInToolUse, turnMessages, withHistory } from './core/session-history.ts';
import {
  settleCall,
  settleInterrupted,
  type Settlement,
  type SettleLimits,
  settleUnsent,
} from './core/settle-call.ts';
import type { DeltaTeller } from './delta-teller.ts';
import {
  type BlobStore,
  CallExpired,
  type CallLedger,
  type ClaudeApi,
  type History,
  type LedgerEntry,
} from './ports.ts';
import type { RunningCall, RunningCalls } from './running-calls.ts';

/** Until parameters that could not be read are tried again: Postgres is away. */
const unreadableRetryMs = 1_000;
/**
 * A row is claimable again no sooner than this, so that it does not come back to a process which
 * has not yet heard that it gave it away.
 */
const requeueMsMin = 50;
/** Calls of dead processes that are looked at together. */
const reapRowsMax = 500;
/** Calls beyond their `complete_by` that are ended together: the next heartbeat takes more. */
const expireRowsMax = 500;

export interface CallPolicyOptions {
  readonly api: ClaudeApi;
  readonly ledger: CallLedger;
  readonly blobs: BlobStore;
  readonly codec: PayloadCodec;
  readonly gate: AccountGate;
  readonly running: RunningCalls;
  readonly deltas: DeltaTeller;
  readonly completions: CallCompletions;
  readonly telemetry: CallTelemetry;
  readonly log: Logger;
  readonly deadlines: Deadlines;
  readonly limits: SettleLimits;
  /** Takes what was committed on its way to Kafka. */
  readonly publish: (messages: readonly OutgoingMessage[]) => void;
  /** Rows may have become claimable. */
  readonly wake: () => void;
}

/** How a run ended, and what is to be written of it, once that has been made up. */
export interface CallOutcome extends SettledAttempt {
  entry: LedgerEntry | null;
}

/** What a run is about to send, or why it cannot. */
type Prepared =
  | { readonly kind: 'ready'; readonly params: CallParams; readonly own: CallParams }
  | Extract<ClaudeAnswer, { kind: 'unsent' | 'unsendable' }>;

export class CallPolicy implements WorkPolicy<Call, CallOutcome> {
  readonly #options: CallPolicyOptions;
  /**
   * The owner that this process is, and the rows that it knows it holds as that: since when, on the
   * monotonic clock.
   */
  #owner = '';
  readonly #held = new Map<string, number>();
  /** The look for cancel flags that runs: calls that expire together share it. */
  #flags: Promise<readonly string[]> | null = null;

  constructor(options: CallPolicyOptions) {
    this.#options = options;
  }

  /** Rows are ours, under this owner. */
  holds(owner: string, calls: readonly Call[]): void {
    if (owner !== this.#owner) {
      // What was held under another owner is not ours any more.
      this.#held.clear();
      this.#owner = owner;
    }
    for (const { id } of calls) this.#held.set(id, performance.now());
  }

  async claim(options: { owner: string; limit: number }): Promise<Claimed<Call>> {
    const { gate, ledger } = this.#options;
    // A probe that went with a lost lease says nothing any more.
    gate.releaseProbe((id) => options.owner !== this.#owner || !this.#held.has(id));
    const admission = gate.admission();
    switch (admission.kind) {
      case 'none':
        return { rows: [], nextDueInMs: admission.retryInMs };
      case 'probe': {
        const claimed = await ledger.claim({ ...options, limit: 1 });
        const probe = claimed.rows[0];
        if (probe !== undefined) gate.sendProbe(probe.id);
        this.holds(options.owner, claimed.rows);
        return claimed;
      }
      case 'some': {
        const limit = Math.min(options.limit, admission.calls);
        const claimed = await ledger.claim({ ...options, limit });
        this.holds(options.owner, claimed.rows);
        const { moreInMs } = admission;
        return { ...claimed, nextDueInMs: Math.min(claimed.nextDueInMs ?? moreInMs, moreInMs) };
      }
      case 'all': {
        const claimed = await ledger.claim(options);
        this.holds(options.owner, claimed.rows);
        return claimed;
      }
      default:
        return assertNever(admission);
    }
  }

  async run(call: Call, signal: AbortSignal, checkLease: () => void): Promise<CallOutcome> {
    const unsent = settleUnsent(call);
    if (unsent !== null) {
      this.#options.gate.observe(call.id, { kind: 'nothing' });
      return this.#withoutRun(call, unsent, call.dispatchedAtMs);
    }
    const { gate, limits, running, telemetry } = this.#options;
    const traced = telemetry.begin(call);
    const run = running.add(call, signal, checkLease);
    try {
      const prepared = await this.#prepare(call);
      const answer =
        prepared.kind === 'ready'
          ? await this.#cancelFirst(call, await this.#send(run, traced, prepared.params))
          : prepared;
      const durationMs = run.sentAtMs === null ? null : performance.now() - run.sentAtMs;
      const state = gate.observe(call.id, observationOf(verdictOn(answer)));
      const endedAtMs = run.databaseMs(performance.now());
      const settlement = settleCall({
        call,
        answer,
        gate: state,
        nowMs: performance.now(),
        ageMs: endedAtMs - call.createdAtMs,
        random: Math.random(),
        limits,
      });
      const attempt = settlement.kind === 'unsent' ? null : settlement.attempt;
      const message = isEnding(settlement) ? messageOf(settlement) : null;
      telemetry.end(traced, { settlement, attempt, message, durationMs });
      return {
        call,
        settlement,
        endedAtMs,
        context: traced.context,
        turn: turnOf(call, prepared, settlement),
        entry: null,
      };
    } finally {
      running.remove(run);
    }
  }

  crashed(call: Call, error: unknown): CallOutcome {
    this.#options.gate.observe(call.id, { kind: 'nothing' });
    const code = error instanceof BadRowError ? 'bad_row' : 'internal';
    return {
      call,
      settlement: {
        kind: 'failed',
        code,
        detail: 'the call could not be completed here',
        message: null,
        attempt: { outcome: 'unknown', code, source: noSource },
        deadLetter: false,
      },
      endedAtMs: this.#databaseMs(call),
      context: this.#options.telemetry.parentOf(call),
      turn: null,
      entry: null,
    };
  }

  async settle(call: Call, outcome: CallOutcome): Promise<Settled> {
    outcome.entry ??= notAtOnce(await this.#options.completions.entryOf(outcome));
    await this.#write(outcome.entry, outcome.context);
    if (call.owner === this.#owner) this.#held.delete(call.id);
    return outcome.entry.next.kind === 'ended' ? 'ended' : 'waits';
  }

  async noteLate(_call: Call, outcome: CallOutcome): Promise<void> {
    const { completions, ledger, telemetry } = this.#options;
    outcome.entry ??= await completions.entryOf(outcome);
    if (outcome.entry.usage === null) return;
    await ledger.noteLate(outcome.entry);
    telemetry.lost(outcome.call, outcome.context);
  }

  cancelRequested(owner: string): Promise<string[]> {
    return this.#options.ledger.cancelRequested(owner);
  }

  releaseUnheld(options: ReleaseUnheld): Promise<number> {
    return this.#options.ledger.releaseUnheld(options);
  }

  /** Ends calls that waited, and were given to this process to be cancelled or to expire. */
  async endUnsent(calls: readonly Call[]): Promise<void> {
    await Promise.all(
      calls.map(async (call) => {
        const settlement = settleUnsent(call);
        // One that may be sent after all is put back by `releaseUnheld`.
        if (settlement !== null) await this.#end(call, settlement, call.dispatchedAtMs);
      }),
    );
  }

  async expire(owner: string): Promise<number> {
    const calls = await this.#options.ledger.takeExpired(owner, expireRowsMax);
    await this.endUnsent(calls);
    return calls.length;
  }

  async reap(deadOwners: string[]): Promise<number> {
    const { ledger, limits } = this.#options;
    const held = await ledger.heldBy(deadOwners, reapRowsMax);
    await Promise.all(
      held.map(({ call, seenAtMs }) =>
        this.#end(call, settleInterrupted(call, limits), seenAtMs)),
    );
    const rest = held.length === reapRowsMax ? await this.reap(deadOwners) : 0;
    return held.length + rest;
  }

  /**
   * The database's time, as far as a call that this process holds tells it: that of its dispatch,
   * and what has gone by since. Its own date may be set wrong, and is told to nobody.
   */
  #databaseMs(call: Call): number {
    const nowMs = performance.now();
    return call.dispatchedAtMs + (nowMs - (this.#held.get(call.id) ?? nowMs));
  }

  #withoutRun(call: Call, settlement: Settlement, endedAtMs: number): CallOutcome {
    const { callId, tenant, unreadable } = call;
    if (unreadable.length > 0) {
      const line = { job_id: jobIdOf(call), call_id: callId, tenant, unreadable };
      this.#options.log.error(line, 'the stored bodies of a call cannot be read: it is ended');
    }
    const context = this.#options.telemetry.parentOf(call);
    return { call, settlement, endedAtMs, context, turn: null, entry: null };
  }

  async #end(call: Call, settlement: Settlement, endedAtMs: number): Promise<void> {
    const settled = this.#withoutRun(call, settlement, endedAtMs);
    await this.#write(await this.#options.completions.entryOf(settled), settled.context);
  }

  /** Reads what a call sends: its parameters, after the conversation so far. */
  async #prepare(call: Call): Promise<Prepared> {
    const { gate, ledger, log } = this.#options;
    // P3
    if (!gate.letGo(call.id)) return { kind: 'unsent', retryInMs: gate.retryInMs };
    try {
      const own = call.params ?? (await this.#loadParams(call));
      if (own === null) return withoutParams(call);
      if (call.session === null) return { kind: 'ready', params: own, own };
      const history = await ledger.history(call.tenant, call.session);
      if (history.kind === 'unreadable') {
        const { session: { sessionId: session }, tenant } = call;
        log.error({ job_id: jobIdOf(call), session, tenant }, 'a conversation cannot be read');
      }
      return preparedTurn(own, history);
    } catch (error) {
      log.warn({ job_id: jobIdOf(call), error }, 'the parameters of a call cannot be read now');
      return { kind: 'unsent', retryInMs: unreadableRetryMs };
    }
  }

  async #loadParams({ paramsRef, tenant }: Call): Promise<CallParams | null> {
    const { blobs, codec } = this.#options;
    const bytes = paramsRef === null ? null : await blobs.get(tenant, paramsRef);
    if (bytes === null) return null;
    const body: unknown = JSON.parse(codec.decode(bytes, { tenant, medium: 'blob' }).toString());
    return isFields(body) ? body : null;
  }

  async #send(
    run: RunningCall,
    traced: TracedAttempt,
    params: CallParams,
  ): Promise<ClaudeAnswer> {
    const { api, deadlines, deltas, telemetry } = this.#options;
    const { call, signal } = run;
    run.endIfOver(performance.now());
    if (signal.aborted) return notSent(signal.reason);
    telemetry.describe(traced, params);
    const streamed = isStreamed(call.stream, params['max_tokens']);
    const listener = call.stream ? deltas.open(call) : null;
    const sentAtMs = performance.now();
    run.begin(streamed, sentAtMs);
    const answer = await api.send({
      params,
      streamed,
      totalMs: totalMsOf(streamed, deadlines),
      signal,
      onEvent: (text) => {
        run.lastEventAtMs = performance.now();
        if (text === '') return;
        traced.firstTokenMs ??= run.lastEventAtMs - sentAtMs;
        listener?.push(text);
      },
    });
    listener?.end();
    return answer;
  }

  /** A wish to cancel that this process has not heard of yet goes before `complete_by`. */
  async #cancelFirst(call: Call, answer: ClaudeAnswer): Promise<ClaudeAnswer> {
    if (answer.kind !== 'interrupted' || answer.by !== 'expiry') return answer;
    this.#flags ??= this.cancelRequested(call.owner).finally(() => (this.#flags = null));
    try {
      const cancelled = (await this.#flags).includes(call.id);
      return cancelled ? { kind: 'interrupted', by: 'cancel' } : answer;
    } catch (error) {
      this.#options.log.warn({ job_id: jobIdOf(call), error }, 'a cancel flag was not read');
      return answer;
    }
  }

  /** An attempt that ends its call is told by the completion. */
  #tellAttempt({ attempt, call, endedAtMs, next }: LedgerEntry): void {
    if (next.kind !== 'again' || attempt === null) return;
    this.#options.deltas.tellAttempt(call, toldAttempt(call, attempt, endedAtMs));
  }

  async #write(entry: LedgerEntry, context: Context): Promise<void> {
    const { ledger, publish, telemetry, wake } = this.#options;
    const { call, next } = entry;
    const written = await ledger.settle(entry);
    const messages =
      next.kind === 'ended'
        ? [next.finished, ...(next.deadLetter === null ? [] : [next.deadLetter])]
        : [];
    if (written === 'lost') {
      const lost = new LeaseLost();
      for (const { onSettled } of messages) onSettled?.(lost);
      return telemetry.lost(call, context);
    }
    publish(messages); // P4
    this.#tellAttempt(entry);
    if (next.kind === 'ended') telemetry.ended(call, next.state, entry.endedAtMs);
    // A retry has its time, and the session's next turn may go. A workflow's is asked for only now.
    const mayWait = call.session !== null && call.reply.kind === 'job';
    if (next.kind !== 'ended' || mayWait) wake();
  }
}

/** @returns undefined when Claude was not asked, or did not get to answer. */
function verdictOn(answer: ClaudeAnswer): ReturnType<typeof classifyAnswer> | undefined {
  switch (answer.kind) {
    case 'unsent':
    case 'unsendable':
    case 'interrupted':
      return undefined;
    case 'message':
    case 'error':
    case 'unreachable':
    case 'cut':
      return classifyAnswer(answer);
    default:
      return assertNever(answer);
  }
}

function notAtOnce(entry: LedgerEntry): LedgerEntry {
  const { next } = entry;
  if (next.kind === 'ended') return entry;
  return { ...entry, next: { ...next, delayMs: Math.max(next.delayMs, requeueMsMin) } };
}

/** What a call adds to its conversation; null: the conversation goes on as if it had not been. */
function turnOf(call: Call, prepared: Prepared, settlement: Settlement): CallOutcome['turn'] {
  if (settlement.kind !== 'succeeded' || prepared.kind !== 'ready') return null;
  const { message } = settlement;
  if (call.session === null) return null;
  // Who talks in a session of their own may answer it as they like.
  if (call.reply.kind === 'workflow' && isCutInToolUse(message)) return null;
  return turnMessages(prepared.own, message);
}

function preparedTurn(own: CallParams, history: History): Prepared {
  switch (history.kind) {
    case 'messages':
      return { kind: 'ready', params: withHistory(own, history.messages), own };
    case 'too_long':
      return unsendable('session_too_long', `the conversation has ${history.bytes} bytes`);
    case 'gap':
      return unsendable('deadline_exceeded', 'the turn before it did not come in time');
    case 'unreadable':
      return unsendable('internal', 'the conversation cannot be read');
    default:
      return assertNever(history);
  }
}

function withoutParams({ paramsRef }: Call): Prepared {
  if (paramsRef === null) return unsendable('bad_row', 'the database refused the call');
  return unsendable('internal', 'the parameters have expired');
}

type Unsendable = Extract<ClaudeAnswer, { kind: 'unsendable' }>;

function unsendable(code: Unsendable['code'], detail: string): Prepared {
  return { kind: 'unsendable', code, detail };
}

/** The call was ended before anything was sent. */
function notSent(reason: unknown): ClaudeAnswer {
  if (reason instanceof WorkCancelled) return { kind: 'interrupted', by: 'cancel' };
  if (reason instanceof CallExpired) return { kind: 'interrupted', by: 'expiry' };
  return { kind: 'unsent', retryInMs: 0 };
}

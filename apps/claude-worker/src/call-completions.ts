import { createHash } from 'node:crypto';

import {
  assertNever,
  type ClaudeRequested,
  inlineBodyBytesMax,
  jsonDepthMax,
  type OutgoingMessage,
  type PayloadCodec,
} from '@millrace/contracts';
import { deadLetter, eventMessage } from '@millrace/kafka';
import type { Context } from '@opentelemetry/api';

import type { Call, CallRequest } from './core/call.ts';
import { type ClaudeMessage, modelOf, usageOf } from './core/claude-message.ts';
import {
  type CallAddress,
  type Completion,
  completionAddress,
  completionOf,
  fitsContract,
} from './core/completion.ts';
import { isDeeperThan } from './core/json-depth.ts';
import { type Ending, isEnding, messageOf, messageTtlSeconds } from './core/job-finished.ts';
import type { ClosedAttempt, Settlement } from './core/settle-call.ts';
import type { BlobStore, ExistingCall, LedgerEntry, NextState } from './ports.ts';

const service = 'claude-worker';

/** What is to be written down about an attempt. */
export interface SettledAttempt {
  readonly call: Call;
  readonly settlement: Settlement;
  readonly endedAtMs: number;
  /** Of the attempt's span. */
  readonly context: Context;
  readonly turn: readonly unknown[] | null;
}

/** Writes what a call's end tells the world. */
export class CallCompletions {
  constructor(
    private readonly options: { readonly blobs: BlobStore; readonly codec: PayloadCodec },
  ) {}

  async entryOf(settled: SettledAttempt): Promise<LedgerEntry> {
    const { call, endedAtMs, settlement } = settled;
    const message = isEnding(settlement) ? messageOf(settlement) : null;
    return {
      call,
      endedAtMs,
      attempt: recordedAttempt(settlement),
      model: message === null ? null : (modelOf(message) ?? null),
      usage: message === null ? null : (usageOf(message) ?? null),
      next: isEnding(settlement)
        ? await this.#ended(settled, settlement, message)
        : settlement,
    };
  }

  /** The completion of a call that ended before its request came again, as it was published. */
  republished(request: CallAddress, ended: EndedCall, context: Context): OutgoingMessage {
    return eventMessage({
      type: ended.completionType,
      ...this.#completionFacts(request, new Date(ended.finishedAtMs), context),
      json: ended.completion,
    });
  }

  /** The completion of a call that the ledger could not take. */
  refused(request: CallRequest, detail: string, cause: { context: Context }): OutgoingMessage {
    const at = Date.now();
    const completion = completionOf({
      call: { ...request, ...unattempted },
      ending: { ...refusedByDatabase, detail },
      finishedAtMs: at,
      messageRef: null,
      kept: false,
    });
    return this.#message(request, completion, { atMs: at, context: cause.context });
  }

  async #ended(
    settled: SettledAttempt,
    ending: Ending,
    message: ClaudeMessage | null,
  ): Promise<NextState> {
    const { call, context, endedAtMs } = settled;
    const asItCame = await this.#tellable(settled, ending, message);
    const told = asItCame === null ? untold : ending;
    const completion =
      asItCame ?? completionOf({ ...withoutAnswer, call, finishedAtMs: endedAtMs });
    return {
      kind: 'ended',
      state: stateOf(told),
      finished: this.#message(call, completion, { atMs: endedAtMs, context }),
      deadLetter:
        told.kind === 'failed' && told.deadLetter && completion.kind === 'job'
          ? this.#deadLetter(call, told, endedAtMs)
          : null,
      turn: told === ending ? settled.turn : null,
    };
  }

  /**
   * @returns the completion, or null when it does not fit its contract: whoever consumes it would
   * refuse it, and the job or the workflow's call would never end.
   */
  async #tellable(
    { call, endedAtMs, turn }: SettledAttempt,
    ending: Ending,
    message: ClaudeMessage | null,
  ): Promise<Completion | null> {
    if (isDeeperThan(message, messageDepthMax)) return null;
    const messageRef = message === null ? null : await this.#keepLarge(call, message);
    const kept = turn !== null;
    const end = { call, ending, finishedAtMs: endedAtMs, messageRef, kept };
    const completion = completionOf(end);
    return fitsContract(completion) ? completion : null;
  }

  #message(
    call: CallAddress,
    { data, type }: Completion,
    { atMs, context }: { readonly atMs: number; readonly context: Context },
  ): OutgoingMessage {
    return eventMessage<Completion['data']>({
      type,
      ...this.#completionFacts(call, new Date(atMs), context),
      data,
    });
  }

  #completionFacts(call: CallAddress, time: Date, context: Context) {
    return {
      ...completionAddress(call),
      source: service,
      time,
      tenant: call.tenant,
      codec: this.options.codec,
      context,
    } as const;
  }

  /** @returns where the message lies when it is too large or too deep to travel, else null. */
  async #keepLarge(call: Call, message: ClaudeMessage): Promise<string | null> {
    const bytes = Buffer.from(JSON.stringify(message));
    // The event around it is a level of its own.
    const isDeep = isDeeperThan(message, jsonDepthMax - 1);
    if (bytes.length <= inlineBodyBytesMax && !isDeep) return null;
    const id = messageBlobOf(call);
    const { tenant } = call;
    const encoded = this.options.codec.encode(bytes, { tenant, medium: 'blob' });
    await this.options.blobs.put(tenant, id, {
      bytes: encoded,
      ttlSeconds: messageTtlSeconds,
    });
    return id;
  }

  #deadLetter(
    call: Call,
    ending: Extract<Ending, { kind: 'failed' }>,
    endedAtMs: number,
  ): OutgoingMessage {
    const { code, detail } = ending;
    const json = Buffer.from(JSON.stringify(requestOf(call)));
    const value = this.options.codec.encode(json, { tenant: call.tenant, medium: 'kafka' });
    const letter = deadLetter(
      { ...call.origin, value },
      { code, detail, service, attempts: call.failures + 1, at: new Date(endedAtMs) },
    );
    return {
      topic: letter.topic,
      key: call.origin.key,
      value: letter.value,
      headers: Object.fromEntries(
        Object.entries(letter.headers).map(([name, value]) => [name, String(value)]),
      ),
    };
  }
}

/**
 * A blob's id has no slash. What is put in its place could stand in another job's id, so a
 * workflow's call is named by its hash; nothing but such calls ends in `.answer`.
 */
function messageBlobOf({ attempt, callId, reply }: Call): string {
  switch (reply.kind) {
    case 'job':
      return `blob_${callId}.${attempt}.message`;
    case 'workflow': {
      const hash = createHash('sha256').update(callId).digest('hex');
      return `blob_${hash}.${attempt}.answer`;
    }
    default:
      return assertNever(reply);
  }
}

/** Levels of a message: what writes and reads JSON recurses, and stacks end. */
const messageDepthMax = 1_000;

/** A 429 is no attempt: a call may get hundreds of them. */
function recordedAttempt(settlement: Settlement): ClosedAttempt | null {
  if (settlement.kind === 'unsent') return null;
  const wasNone = settlement.kind === 'again' && settlement.counts === 'no_attempt';
  return wasNone ? null : settlement.attempt;
}

const untold = {
  kind: 'failed',
  code: 'internal',
  detail: 'the answer does not fit into the completion of its call',
  message: null,
  attempt: null,
  deadLetter: true,
} as const;

const withoutAnswer = { ending: untold, messageRef: null, kept: false } as const;

const unattempted = { attempt: 0, dispatchedAtMs: 0, closedAttempts: [] };

const refusedByDatabase = {
  kind: 'failed',
  code: 'bad_row',
  message: null,
  attempt: null,
  deadLetter: true,
} as const;

type EndedCall = Extract<ExistingCall, { kind: 'ended' }>;

/** The request as it came. */
function requestOf(call: Call): ClaudeRequested {
  return {
    tenant: call.tenant,
    call_id: call.callId,
    lane: call.lane,
    ...(call.session === null
      ? {}
      : { session_id: call.session.sessionId, session_seq: call.session.seq }),
    stream: call.stream,
    ...(call.paramsRef === null ? {} : { params_ref: call.paramsRef }),
    ...(call.params === null || call.paramsRef !== null ? {} : { params: call.params }),
    ...(call.expiresAtMs === null
      ? {}
      : { complete_by: new Date(call.expiresAtMs).toISOString() }),
    reply: call.reply,
  };
}

function stateOf(ending: Ending): 'SETTLED' | 'FAILED' | 'UNKNOWN' {
  switch (ending.kind) {
    case 'succeeded':
      return 'SETTLED';
    case 'failed':
      return ending.code === 'outcome_unknown' ? 'UNKNOWN' : 'FAILED';
    case 'cancelled':
    case 'expired':
      return 'FAILED';
    default:
      return assertNever(ending);
  }
}

import {
  assertNever,
  type ClaudeCancelRequested,
  type ClaudeRequested,
  jobDayOf,
  type OutgoingMessage,
  topics,
} from '@millrace/contracts';
import { type EventRecord, Step, type StepResult } from '@millrace/kafka';
import { BadRowError } from '@millrace/postgres';
import { injectTrace, Logger } from '@millrace/runtime';
import { Controller } from '@nestjs/common';

import { CallWorker } from './call-worker.ts';
import {
  type CallCancel,
  callKey,
  type CallRequest,
  firstAttempt,
} from './core/call.ts';
import type { Inserted } from './ports.ts';

type Record = EventRecord<ClaudeRequested>;
type CancelRecord = EventRecord<ClaudeCancelRequested>;

/**
 * Takes requests in: one batched insert, at once as ours where a slot is free. It waits for no
 * call. A request that comes again changes nothing; what has ended is told again.
 *
 * Cancels come by the same topic and key. Those of a batch go first, and a request beside its own
 * cancel is not looked at: the row that the cancel finds or leaves stands for it, and is never run.
 */
@Controller()
export class ClaudeRequestsConsumer {
  constructor(
    private readonly worker: CallWorker,
    private readonly log: Logger,
  ) {}

  @Step(topics.claudeRequested)
  async handle(
    records: readonly (Record | CancelRecord)[],
  ): Promise<StepResult<Record | CancelRecord>> {
    const cancels = records.filter(isCancel);
    const cancelled = await this.#cancel(cancels);
    const ids = new Set(cancels.map(idOf));
    const requests = records.filter(isRequest).filter((record) => !ids.has(idOf(record)));
    const requested = await this.#take(requests);
    return { ...requested, publish: [...(requested.publish ?? []), ...cancelled] };
  }

  async #take(records: readonly Record[]): Promise<StepResult<Record>> {
    if (records.length === 0) return {};
    const requests = records.map(requestOf);
    const results = await this.#insert(requests);
    const existed: number[] = [];
    const refused: number[] = [];
    results.forEach((result, i) => {
      if (result.status === 'rejected') refused.push(i);
      else if (result.value.kind === 'existed') existed.push(i);
    });
    const told = await this.#tellAgain(existed.map((i) => [requests[i], records[i]]));
    const ends = await this.#keepRefused(refused.map((i) => [requests[i], records[i]]));
    const detail = 'the database refused the call';
    return {
      publish: [...told, ...ends],
      deadLetters: refused.flatMap((i) => {
        const record = records[i];
        // A workflow hears of it, and nobody could do its call again.
        if (record === undefined || record.data.reply.kind === 'workflow') return [];
        return [{ record, code: 'bad_row', detail }];
      }),
    };
  }

  /**
   * Requests that Postgres refuses are kept without what they ask: they end in the ledger like any
   * other, and a session's turn in its turn, for which the next one waits.
   * @returns what has to be told at once.
   */
  async #keepRefused(
    pairs: readonly (readonly [CallRequest | undefined, Record | undefined])[],
  ): Promise<OutgoingMessage[]> {
    const { ledger, queue } = this.worker;
    const kept = pairs.flatMap(([request, record]) =>
      request === undefined || record === undefined ? [] : [{ request, record }],
    );
    const calls = kept.map(({ request }) => ({ request: hollow(request), claim: false }));
    const results = await ledger.insert(calls, queue.owner);
    this.#wakeOrThrow(results);
    const existed = kept.filter((_, i) => isExisting(results[i]));
    const told = await this.#tellAgain(existed.map(({ request, record }) => [request, record]));
    const lost = kept.filter((_, i) => results[i]?.status === 'rejected');
    return [...told, ...lost.map(({ request, record }) => this.#refuse(request, record))];
  }

  /** @returns the ends of calls that had ended before. */
  async #cancel(records: readonly CancelRecord[]): Promise<OutgoingMessage[]> {
    if (records.length === 0) return [];
    const { ledger, policy, queue } = this.worker;
    const byId = new Map(records.map((record) => [idOf(record), record]));
    const waited = await ledger.requestCancel([...byId.values()].map(cancelOf), queue.owner);
    await policy.endUnsent(waited);
    queue.wake();
    for (const { id } of waited) byId.delete(id);
    return this.#tellAgain([...byId.values()].map((record) => [cancelOf(record), record]));
  }

  /** @throws when Postgres is away; what was inserted as ours is started nevertheless. */
  async #insert(
    requests: readonly CallRequest[],
  ): Promise<PromiseSettledResult<Inserted>[]> {
    const { ledger, policy, queue } = this.worker;
    const reservation = queue.reserve(this.worker.gate.isOpen ? requests.length : 0);
    try {
      const results = await ledger.insert(
        requests.map((request, i) => ({ request, claim: i < reservation.granted })),
        reservation.owner,
      );
      const calls = requests.flatMap((request, i) => {
        const result = results[i];
        if (result?.status !== 'fulfilled' || result.value.kind !== 'dispatched') return [];
        return [firstAttempt(request, reservation.owner, result.value.dispatchedAtMs)];
      });
      policy.holds(reservation.owner, calls);
      reservation.start(calls);
      this.#wakeOrThrow(results);
      return results;
    } finally {
      reservation.release();
    }
  }

  #wakeOrThrow(results: readonly PromiseSettledResult<Inserted>[]): void {
    if (results.some((r) => r.status === 'fulfilled' && r.value.kind === 'queued')) {
      this.worker.queue.wake();
    }
    for (const result of results) {
      if (result.status === 'fulfilled' || result.reason instanceof BadRowError) continue;
      throw result.reason;
    }
  }

  /** Completions of calls that had ended before their request came again. */
  async #tellAgain(
    pairs: readonly (readonly [CallCancel | undefined, Told | undefined])[],
  ): Promise<OutgoingMessage[]> {
    const again = new Map<string, readonly [CallCancel, Told]>();
    for (const [request, record] of pairs) {
      if (request !== undefined && record !== undefined) again.set(request.id, [request, record]);
    }
    if (again.size === 0) return [];
    const requests = [...again.values()].map(([request]) => request);
    const existing = await this.worker.ledger.findExisting(requests);
    return existing.flatMap((call) => {
      const pair = again.get(call.id);
      if (pair === undefined) return [];
      switch (call.kind) {
        case 'open':
          return [];
        case 'ended':
          return [this.worker.completions.republished(pair[0], call, pair[1].context)];
        case 'unreadable': {
          const { callId: call_id, tenant } = pair[0];
          this.log.error({ call_id, tenant }, 'the stored end of a call cannot be told again');
          return [];
        }
        default:
          return assertNever(call);
      }
    });
  }

  /** Not even its name can be kept: the job fails without a row. */
  #refuse(request: CallRequest, record: Record): OutgoingMessage {
    return this.worker.completions.refused(request, 'the database refused the call', record);
  }
}

function isExisting(result: PromiseSettledResult<Inserted> | undefined): boolean {
  return result?.status === 'fulfilled' && result.value.kind === 'existed';
}

/** A request without anything that may have been refused. */
function hollow(request: CallRequest): CallRequest {
  return { ...request, params: null, paramsRef: null, traceparent: null, tracestate: null };
}

/** The record that makes a call's end be told again. */
type Told = Pick<Record, 'context'>;

const requestedType = 'millrace.claude.requested.v1';

function isRequest(record: Record | CancelRecord): record is Record {
  return record.type === requestedType;
}

function isCancel(record: Record | CancelRecord): record is CancelRecord {
  return record.type !== requestedType;
}

function idOf({ data }: Record | CancelRecord): string {
  return callKey(data.tenant, data.call_id);
}

function requestOf(record: Record): CallRequest {
  const { data } = record;
  return {
    ...cancelOf(record),
    lane: data.lane,
    stream: data.stream,
    params: data.params ?? null,
    paramsRef: data.params_ref ?? null,
    expiresAtMs: data.complete_by === undefined ? null : Date.parse(data.complete_by),
  };
}

/** What a request and its cancel have in common. */
function cancelOf(record: Record | CancelRecord): CallCancel {
  const { call_id: callId, session_id: sessionId, session_seq: seq, tenant, reply } = record.data;
  const trace = injectTrace(record.context);
  return {
    id: callKey(tenant, callId),
    tenant,
    callId,
    day: jobDayOf(reply.created_at),
    session: sessionId === undefined || seq === undefined ? null : { sessionId, seq },
    reply,
    origin: {
      topic: record.topic,
      partition: record.partition,
      offset: record.offset,
      key: record.key,
      headers: record.headers,
    },
    traceparent: trace['traceparent'] ?? null,
    tracestate: trace['tracestate'] ?? null,
  };
}

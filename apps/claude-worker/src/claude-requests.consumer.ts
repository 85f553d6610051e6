import {
  assertNever,
  type ClaudeRequested,
  type OutgoingMessage,
  topics,
} from '@millrace/contracts';
import { type DeadLetterRequest, type EventRecord, Step, type StepResult } from '@millrace/kafka';
import { BadRowError } from '@millrace/postgres';
import { injectTrace } from '@millrace/runtime';
import { Controller } from '@nestjs/common';

import { CallWorker } from './call-worker.ts';
import { type CallRequest, callKey, firstAttempt } from './core/call.ts';
import type { Inserted } from './ports.ts';

type Record = EventRecord<ClaudeRequested>;

/**
 * Takes requests in: one batched insert, at once as ours where a slot is free. It waits for no
 * call. A request that comes again changes nothing; what has ended is told again.
 */
@Controller()
export class ClaudeRequestsConsumer {
  constructor(private readonly worker: CallWorker) {}

  @Step(topics.claudeRequested)
  async handle(records: readonly Record[]): Promise<StepResult<Record>> {
    const requests = records.map(requestOf);
    const results = await this.#insert(requests);
    const existed: number[] = [];
    const refused: number[] = [];
    results.forEach((result, i) => {
      if (result.status === 'rejected') refused.push(i);
      else if (result.value.kind === 'existed') existed.push(i);
    });
    const told = await this.#tellAgain(existed.map((i) => [requests[i], records[i]]));
    const failed = refused.flatMap((i) => this.#refuse(requests[i], records[i]));
    return {
      publish: [...told, ...failed.map(({ message }) => message)],
      deadLetters: failed.map(({ letter }) => letter),
    };
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
    pairs: readonly (readonly [CallRequest | undefined, Record | undefined])[],
  ): Promise<OutgoingMessage[]> {
    const again = new Map<string, readonly [CallRequest, Record]>();
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
        default:
          return assertNever(call);
      }
    });
  }

  /** A request that Postgres refuses: the job fails and is told, the record is kept. */
  #refuse(
    request: CallRequest | undefined,
    record: Record | undefined,
  ): { message: OutgoingMessage; letter: DeadLetterRequest<Record> }[] {
    if (request === undefined || record === undefined) return [];
    const detail = 'the database refused the call';
    const message = this.worker.completions.refused(request, detail, record);
    return [{ message, letter: { record, code: 'bad_row', detail } }];
  }
}

function requestOf(record: Record): CallRequest {
  const { data } = record;
  const { call_id: callId, session_id: sessionId, session_seq: seq, tenant } = data;
  const trace = injectTrace(record.context);
  return {
    id: callKey(tenant, callId),
    tenant,
    callId,
    lane: data.lane,
    session: sessionId === undefined || seq === undefined ? null : { sessionId, seq },
    stream: data.stream,
    params: data.params ?? null,
    paramsRef: data.params_ref ?? null,
    reply: data.reply,
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

import type { PayloadCodec } from '@millrace/contracts';
import type { PostResult } from '@millrace/egress';
import { BadRowError } from '@millrace/postgres';
import type { Claimed, Hold, ReleaseUnheld, Settled, WorkPolicy, WorkQueue } from '@millrace/work';

import { AttemptTelemetry } from './attempt-telemetry.ts';
import { isWhole, type Delivery, type WholeDelivery } from './core/delivery.ts';
import type { LaneBook } from './core/lane-book.ts';
import { unchanged, type LaneChange } from './core/lane-health.ts';
import { laneSignalOf } from './core/lane-signal.ts';
import type { LaneSlots } from './core/lane-slots.ts';
import { exhaustedNotice, isToEndpoint } from './core/notice.ts';
import {
  outcomeOf,
  postponed,
  waitsAgain,
  type Outcome,
  type RetryPolicy,
} from './core/outcome.ts';
import { requestHeaders } from './core/request-headers.ts';
import type { EndpointKeeper } from './endpoint-keeper.ts';
import type { LaneTurns } from './lane-turns.ts';
import { noticeMessage } from './notice-message.ts';
import type { Courier, Deliveries, Ending } from './ports.ts';
import type { Receiver, Receivers } from './receivers.ts';

export type DeliveryQueue = WorkQueue<Delivery, Ending>;

export interface DeliveryPolicyOptions {
  readonly deliveries: Deliveries;
  readonly receivers: Receivers;
  readonly courier: Courier;
  readonly slots: LaneSlots;
  readonly book: LaneBook;
  readonly turns: LaneTurns;
  readonly keeper: EndpointKeeper;
  readonly retry: RetryPolicy;
  readonly telemetry: AttemptTelemetry;
  readonly codec: PayloadCodec;
  /** Called when rows are waiting for which there was no room, and now is. */
  readonly onRoom: () => void;
}

/** How the work queue sends webhooks: one run is one POST. */
export class DeliveryPolicy implements WorkPolicy<Delivery, Ending> {
  constructor(private readonly options: DeliveryPolicyOptions) {}

  async claim({ owner, limit }: { owner: string; limit: number }): Promise<Claimed<Delivery>> {
    const { deliveries, slots } = this.options;
    const rooms = { busy: slots.busy(performance.now()), crowded: slots.crowded() };
    const { tenantMax } = slots;
    const { rows, nextDueInMs } = await deliveries.claim({ owner, limit, ...rooms, tenantMax });
    const given = rows.map(({ tenant, origin, sight }) => ({ tenant, origin, terms: sight }));
    slots.brought(rooms, given, performance.now());
    // A lane that its rate holds back was passed over, and does not say when to look again.
    const tokenInMs = slots.nextTokenInMs(performance.now());
    if (tokenInMs === null) return { rows, nextDueInMs };
    return { rows, nextDueInMs: Math.min(nextDueInMs ?? tokenInMs, tokenInMs) };
  }

  async run(delivery: Delivery, signal: AbortSignal, checkLease: () => void): Promise<Ending> {
    // It goes to `crashed`, and ends as a dead letter if nobody mends the row.
    if (!isWhole(delivery)) throw new TypeError('the stored body of a webhook cannot be read');
    const { book, onRoom, slots } = this.options;
    const { cap, ratePerSecond } = delivery.sight;
    book.see(delivery, delivery.sight);
    slots.hold(delivery, { cap, ratePerSecond }, performance.now());
    try {
      return await this.inTurn(delivery, { signal, checkLease });
    } finally {
      if (slots.letGo(delivery, performance.now())) onRoom();
    }
  }

  crashed(delivery: Delivery, error: unknown): Ending {
    // A row that Postgres refuses to settle would be sent again for ever.
    if (error instanceof BadRowError) {
      return unsent(delivery, { kind: 'dead', code: 'delivery_exhausted', attempt: null });
    }
    return this.putOff(delivery, 'crashed');
  }

  async settle(delivery: Delivery, ending: Ending): Promise<Settled> {
    const { book, deliveries, keeper } = this.options;
    const lane = await deliveries.settle({ delivery, ...ending });
    if (ending.lane?.close != null) book.closed(delivery, Date.now());
    // It is the outbox's by now.
    ending.notice?.onSettled?.();
    await keeper.after(delivery, ending.outcome, lane);
    return waitsAgain(ending.outcome) ? 'waits' : 'ended';
  }

  /** A webhook that is due tells of what has happened: nobody cancels that. */
  async cancelRequested(): Promise<string[]> {
    return [];
  }

  reap(deadOwners: string[]): Promise<number> {
    return this.options.deliveries.reap(deadOwners);
  }

  releaseUnheld(options: ReleaseUnheld): Promise<number> {
    return this.options.deliveries.releaseUnheld(options);
  }

  private async inTurn(delivery: WholeDelivery, hold: Hold): Promise<Ending> {
    const { turns } = this.options;
    const { signal } = hold;
    if (!(await turns.begin(delivery, signal))) {
      return this.putOff(delivery, signal.aborted ? 'stopping' : 'no_turn');
    }
    let answered = false;
    try {
      const ending = await this.attempt(delivery, hold);
      answered = isAnswered(ending.outcome);
      return ending;
    } finally {
      turns.end(delivery, { answered });
    }
  }

  private async attempt(delivery: WholeDelivery, hold: Hold): Promise<Ending> {
    const receiver = await this.receiverOf(delivery);
    switch (receiver.kind) {
      case 'deleted':
        return unsent(delivery, { kind: 'stopped', code: 'endpoint_deleted', attempt: null });
      case 'closed':
        return this.putOff(delivery, 'no_turn');
      case 'unavailable':
        return this.putOff(delivery, 'own_fault');
      case 'unknown':
        this.options.telemetry.tenantUnknown(delivery);
        return this.putOff(delivery, 'tenant_unknown');
      case 'ready':
        return this.send(delivery, receiver, hold);
    }
  }

  private async send(
    delivery: WholeDelivery,
    receiver: Extract<Receiver, { kind: 'ready' }>,
    { checkLease, signal }: Hold,
  ): Promise<Ending> {
    const { courier, telemetry } = this.options;
    const span = telemetry.start(delivery);
    const beganAtMs = Date.now();
    const { extra, keys, timeoutMs, url } = receiver;
    const { traceHeaders } = span;
    checkLease();
    const result = await courier.post({
      url,
      headers: requestHeaders(delivery, { keys, nowMs: beganAtMs, traceHeaders, extra }),
      body: delivery.body,
      signal,
      // By its `webhook-id`.
      idempotent: true,
      ...(timeoutMs === null ? {} : { timeoutMs }),
    });
    const ending = this.endingOf(delivery, result, { beganAtMs, receiver });
    span.end(ending.outcome);
    return ending;
  }

  private endingOf(
    delivery: WholeDelivery,
    result: PostResult,
    attempt: { beganAtMs: number; receiver: Extract<Receiver, { kind: 'ready' }> },
  ): Ending {
    const { book, retry, slots } = this.options;
    const nowMs = Date.now();
    const isEndpoint = isToEndpoint(delivery);
    const { fullCap, isProbe } = delivery.sight;
    const outcome = outcomeOf(result, {
      attemptsMade: delivery.attemptsMade,
      createdAtMs: delivery.createdAtMs,
      nowMs,
      random: Math.random(),
      retry: { ...retry, scheduleMs: attempt.receiver.scheduleMs ?? retry.scheduleMs },
      isEndpoint,
    });
    const lane = book.after(delivery, laneSignalOf(result, nowMs), {
      beganAtMs: attempt.beganAtMs,
      nowMs,
      isProbe,
      fullCap,
      isEndpoint,
    });
    const cap = book.capOf(delivery);
    if (cap !== null) slots.setCap(delivery, cap);
    return { outcome, lane, notice: this.noticeOf(delivery, outcome, nowMs) };
  }

  /** An endpoint's delivery has no record for a dead letter: its tenant is told instead. */
  private noticeOf(delivery: Delivery, outcome: Outcome, nowMs: number): Ending['notice'] {
    if (outcome.kind !== 'dead' || !isToEndpoint(delivery)) return null;
    const attempts = delivery.attemptsMade + (outcome.attempt === null ? 0 : 1);
    const notice = exhaustedNotice(delivery, { code: outcome.code, attempts, nowMs });
    return notice && noticeMessage(notice, delivery, this.options.codec);
  }

  /** Lost infrastructure is our own fault, not the receiver's: it costs the delivery nothing. */
  private async receiverOf(delivery: Delivery): Promise<Receiver> {
    try {
      return await this.options.receivers.of(delivery, Date.now());
    } catch (error) {
      this.options.telemetry.secretsUnavailable(delivery, error);
      return { kind: 'unavailable' };
    }
  }

  private putOff(delivery: Delivery, reason: Parameters<typeof postponed>[0]): Ending {
    const nowMs = Date.now();
    const outcome = postponed(reason, { createdAtMs: delivery.createdAtMs, nowMs });
    return { ...unsent(delivery, outcome), notice: this.noticeOf(delivery, outcome, nowMs) };
  }
}

/** Nothing was sent: of its lane it says only that it is no probe any more. */
function unsent(delivery: Delivery, outcome: Outcome): Ending {
  const probeEnded: LaneChange | null = delivery.sight.isProbe
    ? { ...unchanged, probeEnded: true }
    : null;
  return { outcome, lane: probeEnded, notice: null };
}

/** Whatever the receiver said: it is not hanging. */
function isAnswered(outcome: Outcome): boolean {
  return outcome.kind !== 'postponed' && (outcome.attempt?.status ?? null) !== null;
}

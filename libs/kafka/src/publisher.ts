import { setImmediate as nextTurn } from 'node:timers/promises';

import type { OutgoingMessage } from '@millrace/contracts';
import { names } from '@millrace/runtime';
import type { Counter, Gauge, Histogram, Logger, Metrics } from '@millrace/runtime';

import { SendError } from './client.ts';
import type { KafkaClient, ProducerPort, WireMessage } from './client.ts';
import { countThatFits } from './core/batching.ts';
import { messageBytes } from './core/message-bytes.ts';

/** A message of ours, or a dead letter, which carries bytes where ours carry text. */
export type PublishableMessage =
  | OutgoingMessage
  | (WireMessage & Pick<OutgoingMessage, 'onSettled'>);

/** Some messages of a `publish` did not reach Kafka. The others of the same call may have. */
export class PublishError extends Error {
  override readonly name = 'PublishError';

  constructor(
    /** `rejected`: never will, each message by itself is refused; `unavailable`: try again. */
    readonly reason: 'rejected' | 'unavailable',
    readonly failed: readonly PublishableMessage[],
    options?: { cause: unknown },
  ) {
    super(`${failed.length} message(s) were not published: ${reason}`, options);
  }
}

/** Whether it says that messages never can be published, and not that Kafka is away. */
export function isRefusal(error: unknown): boolean {
  return error instanceof PublishError && error.reason === 'rejected';
}

export interface PublisherOptions {
  readonly kafka: KafkaClient;
  readonly name: string;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly queueCountMax?: number;
  readonly queueBytesMax?: number;
  /**
   * Puts two waiting messages of one topic and key into one, or answers undefined when they must
   * stay two. Asked only while a send is in flight.
   */
  readonly coalesce?: (
    waiting: OutgoingMessage,
    next: OutgoingMessage,
  ) => OutgoingMessage | undefined;
}

type FailureReason = SendError['reason'];

interface Failure {
  readonly reason: FailureReason;
  readonly cause: unknown;
}

interface Ticket {
  waiting: number;
  readonly failed: PublishableMessage[];
  reason: FailureReason;
  cause: unknown;
  readonly resolve: () => void;
  readonly reject: (error: PublishError) => void;
}

interface Entry {
  message: PublishableMessage;
  bytes: number;
  /** More than one when messages were put together. */
  readonly parts: { readonly message: PublishableMessage; readonly ticket: Ticket }[];
}

/** Messages and bytes that wait; what comes above waits outside, which slows its makers down. */
const queueCountMaxDefault = 50_000;
const queueBytesMaxDefault = 64 * 1024 * 1024;
/** Of one `sendBatch`: the broker appends this in a few milliseconds. */
const sendCountMax = 2_000;
/**
 * Of one topic in one `sendBatch`: all may go to one partition as one record batch, which the
 * broker takes up to `message.max.bytes`, 1 MiB by default.
 */
const sendBytesMax = 900 * 1024;

const sendLimits = {
  countMax: sendCountMax,
  bytesMax: sendBytesMax,
  groupOf: (entry: Entry) => entry.message.topic,
  bytesOf: (entry: Entry) => entry.bytes,
};

/**
 * Sends messages, all through one awaited `sendBatch` at a time: overlapping calls of the client
 * could reorder and lose. What comes meanwhile makes up the next batch.
 *
 * P1 Messages of one key leave in the order in which they were published.
 * P2 A `publish` settles only when the broker has answered for each of its messages.
 * P3 A message that the broker refuses fails alone, and not the batch it was in.
 * P4 What waits is bounded; the callers of `publish` wait for room, in order.
 */
export class Publisher {
  private readonly port: ProducerPort;
  private readonly queue: Entry[] = [];
  private queuedBytes = 0;
  private readonly roomWaiters: (() => void)[] = [];
  private readonly mergeable = new Map<string, Entry>();
  private pumping: Promise<void> | undefined;
  private closed = false;
  private readonly duration: Histogram;
  private readonly outcomes: Counter;
  private readonly depth: Gauge;

  constructor(private readonly options: PublisherOptions) {
    this.port = options.kafka.producer();
    const { metrics } = options;
    this.duration = metrics.histogram(names.metric.publishDuration, {
      help: 'Seconds of one acknowledged or failed sendBatch',
      labels: ['publisher'],
    });
    this.outcomes = metrics.counter(names.metric.publishedMessages, {
      help: 'Messages by what the broker answered',
      labels: ['publisher', 'outcome'],
    });
    this.depth = metrics.gauge(names.metric.publishQueue, {
      help: 'Messages that wait for the sendBatch in flight',
      labels: ['publisher'],
    });
  }

  /** Connects ahead of the first message. A publish connects by itself when this failed. */
  async connect(): Promise<void> {
    await this.port.connect();
  }

  /**
   * Resolves when every message is on all replicas.
   *
   * @throws PublishError that holds the messages which are not.
   */
  async publish(messages: readonly PublishableMessage[]): Promise<void> {
    if (messages.length === 0) return;
    if (this.isFull() || this.roomWaiters.length > 0) {
      await new Promise<void>((resolve) => this.roomWaiters.push(resolve));
    }
    if (this.closed) throw this.refuseAll(messages);
    return new Promise((resolve, reject) => {
      const ticket: Ticket = {
        waiting: messages.length,
        failed: [],
        reason: 'unavailable',
        cause: undefined,
        resolve,
        reject,
      };
      for (const message of messages) this.enqueue(message, ticket);
      this.pumping ??= this.pump();
    });
  }

  /** Sends what waits, then closes the connection. Later publishes are refused. */
  async disconnect(): Promise<void> {
    this.closed = true;
    await this.pumping;
    this.makeRoom();
    await this.port.disconnect();
  }

  private enqueue(message: PublishableMessage, ticket: Ticket): void {
    if (this.options.coalesce !== undefined && this.mergeIntoWaiting(message, ticket)) return;
    const entry = { message, bytes: messageBytes(message), parts: [{ message, ticket }] };
    this.queue.push(entry);
    this.queuedBytes += entry.bytes;
    if (this.options.coalesce !== undefined) this.mergeable.set(mergeKey(message), entry);
  }

  private mergeIntoWaiting(message: PublishableMessage, ticket: Ticket): boolean {
    const waiting = this.mergeable.get(mergeKey(message));
    if (waiting === undefined || !isOutgoing(waiting.message) || !isOutgoing(message)) return false;
    const merged = this.options.coalesce?.(waiting.message, message);
    if (merged === undefined) return false;
    const bytes = messageBytes(merged);
    this.queuedBytes += bytes - waiting.bytes;
    waiting.message = merged;
    waiting.bytes = bytes;
    waiting.parts.push({ message, ticket });
    return true;
  }

  private async pump(): Promise<void> {
    // What the same turn of the event loop publishes goes out together.
    await nextTurn();
    while (this.queue.length > 0) {
      await this.send(this.takeBatch());
      this.makeRoom();
    }
    this.pumping = undefined;
  }

  private takeBatch(): Entry[] {
    const count = countThatFits(this.queue, sendLimits);
    const batch = this.queue.splice(0, count);
    for (const entry of batch) this.queuedBytes -= entry.bytes;
    this.mergeable.clear();
    this.depth.set({ publisher: this.options.name }, this.queue.length);
    return batch;
  }

  /** @returns why nothing may be sent after it for now (P1); undefined when the broker answered. */
  private async send(batch: readonly Entry[]): Promise<Failure | undefined> {
    const startedAt = performance.now();
    try {
      await this.port.send(batch.map((entry) => entry.message));
      this.settle(batch, undefined);
      return undefined;
    } catch (error) {
      return await this.sendFailed(batch, error);
    } finally {
      const seconds = (performance.now() - startedAt) / 1000;
      this.duration.observe({ publisher: this.options.name }, seconds);
    }
  }

  private async sendFailed(
    batch: readonly Entry[],
    error: unknown,
  ): Promise<Failure | undefined> {
    const reason = error instanceof SendError ? error.reason : 'unavailable';
    if (reason === 'rejected' && batch.length > 1) {
      const middle = Math.ceil(batch.length / 2);
      const away = await this.send(batch.slice(0, middle));
      if (away === undefined) return this.send(batch.slice(middle));
      this.settle(batch.slice(middle), away);
      return away;
    }
    const lost = [...batch];
    if (reason === 'unavailable') {
      // Later messages of the same keys must not overtake those that their makers will repeat.
      lost.push(...this.queue.splice(0));
      this.queuedBytes = 0;
      this.mergeable.clear();
    }
    const line = { event: names.event.publishFailed, messages: lost.length, reason, error };
    this.options.log.warn(line, 'messages were not published');
    const failure = { reason, cause: error };
    this.settle(lost, failure);
    return reason === 'unavailable' ? failure : undefined;
  }

  private settle(
    entries: readonly Entry[],
    failure: Failure | undefined,
  ): void {
    const outcome = failure === undefined ? 'sent' : 'failed';
    this.outcomes.inc({ publisher: this.options.name, outcome }, entries.length);
    for (const entry of entries) {
      for (const { message, ticket } of entry.parts) settlePart(message, ticket, failure);
    }
  }

  private isFull(): boolean {
    const countMax = this.options.queueCountMax ?? queueCountMaxDefault;
    const bytesMax = this.options.queueBytesMax ?? queueBytesMaxDefault;
    return this.queue.length >= countMax || this.queuedBytes >= bytesMax;
  }

  /** Lets in those who waited. They enqueue in microtasks, in order, so all may be let in. */
  private makeRoom(): void {
    if (this.isFull() && !this.closed) return;
    for (const enter of this.roomWaiters.splice(0)) enter();
  }

  private refuseAll(messages: readonly PublishableMessage[]): PublishError {
    const error = new PublishError('unavailable', messages);
    for (const message of messages) message.onSettled?.(error);
    return error;
  }
}

function settlePart(
  message: PublishableMessage,
  ticket: Ticket,
  failure: Failure | undefined,
): void {
  if (failure !== undefined) {
    // One message that may be taken later makes the whole call worth another try.
    const isFirst = ticket.failed.length === 0;
    ticket.reason = isFirst ? failure.reason : milder(ticket.reason, failure.reason);
    ticket.cause = failure.cause;
    ticket.failed.push(message);
  }
  message.onSettled?.(failure === undefined ? undefined : asError(failure.cause));
  ticket.waiting -= 1;
  if (ticket.waiting > 0) return;
  if (ticket.failed.length === 0) ticket.resolve();
  else ticket.reject(new PublishError(ticket.reason, ticket.failed, { cause: ticket.cause }));
}

function milder(one: FailureReason, other: FailureReason): FailureReason {
  return one === 'unavailable' || other === 'unavailable' ? 'unavailable' : 'rejected';
}

function asError(cause: unknown): Error {
  return cause instanceof Error ? cause : new Error('not published');
}

function mergeKey(message: PublishableMessage): string {
  return `${message.topic}\u0000${String(message.key)}`;
}

function isOutgoing(message: PublishableMessage): message is OutgoingMessage {
  return (
    (message.key === null || typeof message.key === 'string') &&
    Object.values(message.headers).every((value) => typeof value === 'string')
  );
}

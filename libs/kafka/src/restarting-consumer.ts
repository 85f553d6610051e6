import { setTimeout as delay } from 'node:timers/promises';

import { names } from '@millrace/runtime';
import type { Logger } from '@millrace/runtime';

import type { ConsumerOptions, ConsumerPort, KafkaClient } from './client.ts';
import { backoffMs } from './core/backoff.ts';

export interface RestartingConsumerOptions extends Omit<ConsumerOptions, 'onCrashed'> {
  readonly kafka: KafkaClient;
  readonly log: Logger;
  readonly onRestart?: () => void;
}

export type ConsumerState =
  | { readonly kind: 'stopped' }
  | { readonly kind: 'joined' }
  /** Since when it is down although the broker answered whenever it was asked. */
  | { readonly kind: 'down'; readonly sinceMs: number };

/**
 * Keeps one member of a group alive: a client that could not start, or that gave up, is thrown
 * away and another takes its place after a wait that grows.
 */
export class RestartingConsumer {
  private port: ConsumerPort | undefined;
  private running: Promise<void> | undefined;
  private readonly stopping = new AbortController();
  private current: ConsumerState = { kind: 'stopped' };
  private isAsking = false;

  constructor(private readonly options: RestartingConsumerOptions) {}

  get state(): ConsumerState {
    return this.current;
  }

  /** The member that runs now, to pause, seek or commit; absent between two of them. */
  get member(): ConsumerPort | undefined {
    return this.port;
  }

  /** Starts in the background: Kafka may come up later than this process. */
  start(): void {
    this.current = { kind: 'down', sinceMs: Date.now() };
    this.running ??= this.keepAlive();
  }

  /** Leaves the group. Idempotent; waits for a start that is under way, or it would live on. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
    this.current = { kind: 'stopped' };
  }

  private async keepAlive(): Promise<void> {
    const { signal } = this.stopping;
    for (let failures = 0; !signal.aborted; ) {
      const joinedMs = await this.liveOnce();
      if (signal.aborted) return;
      // A member that lived for a while begins to count anew.
      failures = joinedMs > 60_000 ? 1 : failures + 1;
      void this.askBroker();
      this.options.onRestart?.();
      await delay(backoffMs(failures, Math.random()), undefined, { signal }).catch(() => {});
    }
  }

  /** One member's life, from its start until it crashes or is stopped. @returns its length. */
  private async liveOnce(): Promise<number> {
    let tellCrash: (error: unknown) => void = () => {};
    const crashed = new Promise<unknown>((resolve) => {
      tellCrash = resolve;
    });
    const port = this.options.kafka.consumer({
      ...this.options,
      onCrashed: (error) => tellCrash(error),
      onAssigned: (assignment) => {
        this.current = { kind: 'joined' };
        this.options.onAssigned(assignment);
      },
    });
    // Known before the start ends: the assignment comes while it is still under way.
    this.port = port;
    const startedAt = Date.now();
    const stopped = onAbort(this.stopping.signal);
    try {
      await port.start();
      const ending = await Promise.race([crashed, stopped]);
      if (!this.stopping.signal.aborted) this.logCrash(ending);
    } catch (error) {
      this.logCrash(error);
    } finally {
      this.port = undefined;
      if (this.current.kind !== 'down') this.current = { kind: 'down', sinceMs: Date.now() };
      await port.stop().catch(() => {});
    }
    return Date.now() - startedAt;
  }

  /** A broker that is away explains why the consumer is down: its time counts from then on. */
  private async askBroker(): Promise<void> {
    if (this.isAsking) return;
    this.isAsking = true;
    const answers = await this.options.kafka.answers();
    this.isAsking = false;
    if (answers || this.current.kind !== 'down') return;
    this.current = { kind: 'down', sinceMs: Date.now() };
  }

  private logCrash(error: unknown): void {
    const line = { event: names.event.consumerCrashed, group: this.options.groupId, error };
    this.options.log.warn(line, 'the consumer ended and will be started again');
  }
}

function onAbort(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

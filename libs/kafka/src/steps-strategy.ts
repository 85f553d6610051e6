import type { PayloadCodec, ServiceName, TenantId, Topic } from '@millrace/contracts';
import {
  deadLetterTopicList,
  isPerTenant,
  isTopicOf,
  topicList,
  topicOfTenant,
} from '@millrace/contracts';
import { names } from '@millrace/runtime';
import type { Health, Logger, Metrics } from '@millrace/runtime';
import type { CustomTransportStrategy, MessageHandler } from '@nestjs/microservices';
import { Server } from '@nestjs/microservices';
import { lastValueFrom } from 'rxjs';

import type { KafkaClient } from './client.ts';
import { stepTable } from './core/step-table.ts';
import type { FoundHandler, StepEntry } from './core/step-table.ts';
import type { Publisher } from './publisher.ts';
import type { StepResult } from './records.ts';
import { StepGroup } from './step-group.ts';
import { stepExtra } from './step.ts';
import type { StepExtra } from './step.ts';
import { StepRunner } from './step-runner.ts';
import type { StepHandler, StepRecord } from './step-runner.ts';

export interface StepsStrategyOptions {
  readonly kafka: KafkaClient;
  /** The service's name: one consumer group a service. */
  readonly groupId: string;
  readonly publisher: Publisher;
  readonly service: ServiceName;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly codec: PayloadCodec;
  readonly health?: Health;
  /** Whether a service without its partitions is not ready. By default it is not. */
  readonly readyWithoutKafka?: boolean;
  /**
   * Topics that must have a handler here. By default every topic that the table gives to this
   * service, without those that it reads by a `TopicTail` (`tails`).
   */
  readonly handles?: readonly Topic[];
  readonly tails?: readonly Topic[];
}

type StepsEvents = {
  /** The member got an assignment: it consumes. */
  joined: () => void;
};

/** A tenant's own topic of a row that has one for each tenant. */
export interface TenantTopic {
  readonly row: Topic;
  readonly tenant: TenantId;
}

/**
 * Runs the steps of a service over its topics: Nest finds the handlers, this feeds them. Topics of
 * tenants come and go while it runs (`follow`), so they have a consumer group of their own: a new
 * tenant holds up nobody else.
 *
 * T1 Every topic that the table gives to the service has exactly one handler, or it does not boot.
 * T2 At any time at most one member of this process is in a group: the next starts when the last
 *    has left.
 */
export class StepsStrategy
  extends Server<StepsEvents, 'connected' | 'disconnected'>
  implements CustomTransportStrategy
{
  private readonly listeners: { joined: StepsEvents['joined'][] } = { joined: [] };
  private steps: ReadonlyMap<string, StepEntry<StepHandler>> = new Map();
  private main: StepGroup | undefined;
  private ofTenants: StepGroup | undefined;
  /** What `ofTenants` is to consume, and what it does by now; names, in order. */
  private wanted: readonly Topic[] = [];
  private followed = '';
  private following: Promise<void> = Promise.resolve();
  private closed: Promise<void> | undefined;

  constructor(private readonly options: StepsStrategyOptions) {
    super();
    this.addHealth();
  }

  override on<K extends keyof StepsEvents, C extends StepsEvents[K]>(event: K, callback: C): void {
    this.listeners[event].push(callback);
  }

  override unwrap<T>(): T {
    throw new Error('the Kafka client is not handed out: publish through the Publisher');
  }

  /** Checks the handlers, then consumes in the background: Kafka may come up later. */
  override listen(callback: (error?: unknown) => void): void {
    try {
      this.steps = this.findSteps();
    } catch (error) {
      callback(error);
      return;
    }
    const fixed = [...this.steps.values()].filter(({ topic }) => !isPerTenant(topic));
    if (this.closed === undefined && fixed.length > 0) {
      this.main = this.groupOf(this.options.groupId, fixed);
      this.main.start();
    }
    callback();
  }

  /** Stops taking records, lets running steps end, commits, and leaves the group. Idempotent. */
  override close(): Promise<void> {
    this.closed ??= this.shutDown();
    return this.closed;
  }

  /**
   * Consumes these topics of tenants from now on, and no others of theirs. What is left out waits
   * in Kafka at its offset. Call it after `listen`; again with the same topics it does nothing.
   * Resolves when the member before has left; the new one joins in the background.
   */
  follow(tenantTopics: readonly TenantTopic[]): Promise<void> {
    this.wanted = tenantTopics
      .map(({ row, tenant }) => topicOfTenant(row, tenant))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
    const follow = (): Promise<void> => this.followWanted();
    this.following = this.following.then(follow, follow);
    return this.following;
  }

  private async followWanted(): Promise<void> {
    const { wanted } = this;
    const followed = wanted.map(({ name }) => name).join(' ');
    if (followed === this.followed || this.closed !== undefined) return;
    const entries = wanted.map((topic) => this.entryOf(topic));
    await this.ofTenants?.close();
    this.ofTenants = undefined;
    this.followed = followed;
    // Closed meanwhile: a member that starts now would never leave.
    if (entries.length === 0 || this.isClosing()) return;
    this.ofTenants = this.groupOf(`${this.options.groupId}.tenants`, entries);
    this.ofTenants.start();
  }

  private isClosing(): boolean {
    return this.closed !== undefined;
  }

  /** The step of the row that the topic is of. */
  private entryOf(topic: Topic): StepEntry<StepHandler> {
    const row = [...this.steps.values()].find(
      (step) => isPerTenant(step.topic) && isTopicOf(step.topic, topic.name),
    );
    if (row === undefined) throw new Error(`${topic.name} is of no row that has a step here`);
    return { ...row, topic };
  }

  private groupOf(groupId: string, entries: readonly StepEntry<StepHandler>[]): StepGroup {
    const { kafka, log, metrics } = this.options;
    const runnerOptions = { ...this.options, group: groupId };
    const runners = entries.map((entry) => {
      return [entry.topic.name, new StepRunner(entry, runnerOptions)] as const;
    });
    return new StepGroup({
      kafka,
      log,
      groupId,
      runners: new Map(runners),
      lag: metrics.gauge(names.metric.consumerLag, {
        help: 'Records that are not yet processed',
        labels: ['topic', 'partition'],
      }),
      parked: metrics.gauge(names.metric.partitionParked, {
        help: '1 while a partition waits for a release that knows its next record',
        labels: ['topic', 'partition'],
      }),
      restarts: metrics.counter(names.metric.consumerRestarts, {
        help: 'Consumers that ended by themselves and were started again',
      }),
      onJoined: () => this.onJoined(groupId),
    });
  }

  private onJoined(groupId: string): void {
    if (groupId !== this.options.groupId) return;
    this._status$.next('connected');
    for (const listener of this.listeners.joined) listener();
  }

  private findSteps(): ReadonlyMap<string, StepEntry<StepHandler>> {
    const { service, handles, tails = [] } = this.options;
    const expected = handles ?? topicsOf(service).filter((topic) => !isOneOf(topic, tails));
    const steps = stepTable<MessageHandler>(service, expected, this.foundHandlers());
    const entries = [...steps].map(([topic, step]) => {
      return [topic, { ...step, handler: this.stepHandler(step.handler) }] as const;
    });
    return new Map(entries);
  }

  private foundHandlers(): FoundHandler<MessageHandler>[] {
    return [...this.messageHandlers].map(([topic, handler]) => {
      const extra: unknown = handler.extras?.[stepExtra];
      return {
        topic,
        extra: isStepExtra(extra) ? extra : undefined,
        handler,
        isShared: handler.next !== undefined,
      };
    });
  }

  private stepHandler(handler: MessageHandler): StepHandler {
    return async (records) => {
      const answer = this.transformToObservable<unknown>(await handler(records));
      const result: unknown = await lastValueFrom(answer, { defaultValue: undefined });
      if (result === undefined || result === null) return {};
      if (!isStepResult(result)) throw new TypeError('a step must return a StepResult, or nothing');
      return result;
    };
  }

  private async shutDown(): Promise<void> {
    await Promise.all([this.main?.close(), this.ofTenants?.close()]);
    this._status$.next('disconnected');
  }

  private groups(): readonly StepGroup[] {
    return [this.main, this.ofTenants].filter((group) => group !== undefined);
  }

  private addHealth(): void {
    const { health, readyWithoutKafka = false } = this.options;
    const checkJoined = (): void => {
      const state = this.main?.state.kind ?? 'stopped';
      if (state !== 'joined') throw new Error(`the consumer is ${state}`);
    };
    health?.addCheck('kafka', checkJoined, readyWithoutKafka ? 'nothing' : 'readiness');
    const checkLiveness = (): void => {
      for (const group of this.groups()) group.checkLiveness(Date.now());
    };
    health?.addCheck('kafka_consumer', checkLiveness, 'liveness');
    health?.addInfo('kafka_parked', () => this.groups().flatMap((group) => group.parkedPlaces));
  }
}

function topicsOf(service: ServiceName): readonly Topic[] {
  const all = [...topicList, ...deadLetterTopicList];
  return all.filter((topic) => topic.consumers.includes(service));
}

function isOneOf(topic: Topic, topics: readonly Topic[]): boolean {
  return topics.some(({ name }) => name === topic.name);
}

function isStepExtra(extra: unknown): extra is StepExtra {
  return typeof extra === 'object' && extra !== null && 'topic' in extra && 'form' in extra;
}

function isStepResult(result: unknown): result is StepResult<StepRecord> {
  return typeof result === 'object' && result !== null && !Array.isArray(result);
}

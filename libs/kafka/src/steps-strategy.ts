import { setTimeout as delay } from 'node:timers/promises';

import type { PayloadCodec, ServiceName, Topic } from '@millrace/contracts';
import { deadLetterTopicList, topicList } from '@millrace/contracts';
import { names } from '@millrace/runtime';
import type { Gauge, Health, Logger, Metrics } from '@millrace/runtime';
import type { CustomTransportStrategy, MessageHandler } from '@nestjs/microservices';
import { Server } from '@nestjs/microservices';
import { lastValueFrom } from 'rxjs';

import type { FetchedBatch, KafkaClient, TopicPartition } from './client.ts';
import { addLoad, lingerMs, noLoad } from './core/load.ts';
import type { Load } from './core/load.ts';
import { stepTable } from './core/step-table.ts';
import type { FoundHandler, StepEntry } from './core/step-table.ts';
import { OffsetCommits } from './offset-commits.ts';
import { PartitionLane } from './partition-lane.ts';
import type { Publisher } from './publisher.ts';
import type { StepResult } from './records.ts';
import { RestartingConsumer } from './restarting-consumer.ts';
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

/** The default of a topic's partitions: with one worker each, none waits for another's commit. */
const partitionsConcurrentlyByTopic = 3;
/** The wait before the next fetch, only when busy: records that come meanwhile share its cost. */
const fetchLingerMs = 10;
const busyPerSecond = 300;
/** A batch of this size is large enough as it is. */
const batchCountEnough = 200;
/** A step that runs for so long will not end: each of its statements has a limit of 20 s. */
const stepMsMax = 120_000;
/**
 * A consumer that is down for so long, while the broker answers, will not come back: a group's
 * longest rebalance takes 20 s, a broker's reading of its offsets after a crash a minute or two.
 */
const downMsMax = 300_000;
/** A stop waits so long for steps that run, and then leaves the rest to redelivery. */
const closeMsMax = 5_000;

/**
 * Runs the steps of a service over its topics: Nest finds the handlers, this feeds them.
 *
 * T1 Nothing is thrown into kafkajs: a TypeError there would stop the consumer for good.
 * T2 Every topic that the table gives to the service has exactly one handler, or it does not boot.
 * T3 After a rebalance kept partitions begin at their committed offsets: steps are idempotent.
 */
export class StepsStrategy
  extends Server<StepsEvents, 'connected' | 'disconnected'>
  implements CustomTransportStrategy
{
  private readonly lanes = new Map<string, PartitionLane>();
  private readonly runners = new Map<string, StepRunner>();
  private readonly listeners: { joined: StepsEvents['joined'][] } = { joined: [] };
  private readonly closing = new AbortController();
  private readonly commits: OffsetCommits;
  private readonly lag: Gauge;
  private readonly parked: Gauge;
  private consumer: RestartingConsumer | undefined;
  private closed: Promise<void> | undefined;
  private load: Load = noLoad;

  constructor(private readonly options: StepsStrategyOptions) {
    super();
    this.commits = new OffsetCommits(() => this.consumer?.member, options.log);
    this.lag = options.metrics.gauge(names.metric.consumerLag, {
      help: 'Records that are not yet processed',
      labels: ['topic', 'partition'],
    });
    this.parked = options.metrics.gauge(names.metric.partitionParked, {
      help: '1 while a partition waits for a release that knows its next record',
      labels: ['topic', 'partition'],
    });
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
      this.createRunners();
    } catch (error) {
      callback(error);
      return;
    }
    if (this.closed === undefined && this.runners.size > 0) this.startConsumer();
    callback();
  }

  /** Stops taking records, lets running steps end, commits, and leaves the group. Idempotent. */
  override close(): Promise<void> {
    this.closed ??= this.shutDown();
    return this.closed;
  }

  private createRunners(): void {
    const { service, handles, tails = [] } = this.options;
    const expected = handles ?? topicsOf(service).filter((topic) => !isOneOf(topic, tails));
    const steps = stepTable<MessageHandler>(service, expected, this.foundHandlers());
    for (const [topic, step] of steps) {
      const entry: StepEntry<StepHandler> = { ...step, handler: this.stepHandler(step.handler) };
      const runner = new StepRunner(entry, { ...this.options, group: this.options.groupId });
      this.runners.set(topic, runner);
    }
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

  private startConsumer(): void {
    const restarts = this.options.metrics.counter(names.metric.consumerRestarts, {
      help: 'Consumers that ended by themselves and were started again',
    });
    this.consumer = new RestartingConsumer({
      kafka: this.options.kafka,
      log: this.options.log,
      groupId: this.options.groupId,
      topics: [...this.runners.keys()],
      partitionsConcurrently: this.runners.size * partitionsConcurrentlyByTopic,
      onBatch: (batch) => this.onBatch(batch),
      onRevoking: () => this.onRevoking(),
      onAssigned: (assignment) => this.onAssigned(assignment),
      onRestart: () => restarts.inc(),
    });
    this.consumer.start();
  }

  private async onBatch(batch: FetchedBatch): Promise<void> {
    try {
      if (this.closing.signal.aborted) return await delay(fetchLingerMs);
      await this.laneOf(batch)?.take(batch);
      await this.linger(batch.messages.length);
    } catch (error) {
      // T1: there is no good reason to come here, and a bad one must not end the consumer.
      this.options.log.error({ topic: batch.topic, error }, 'a batch was given back');
    }
  }

  private async linger(count: number): Promise<void> {
    this.load = addLoad(this.load, count, Date.now());
    if (count >= batchCountEnough || this.closing.signal.aborted) return;
    const waitMs = lingerMs(this.load, { busyPerSecond, lingerMs: fetchLingerMs });
    if (waitMs > 0) await delay(waitMs);
  }

  private laneOf(place: TopicPartition): PartitionLane | undefined {
    const key = `${place.topic}/${place.partition}`;
    const known = this.lanes.get(key);
    const runner = this.runners.get(place.topic);
    if (known !== undefined || runner === undefined) return known;
    const lane = new PartitionLane({
      place: { topic: place.topic, partition: place.partition },
      runner,
      commits: this.commits,
      member: () => this.consumer?.member,
      closing: this.closing.signal,
      lag: this.lag,
      parked: this.parked,
      log: this.options.log,
    });
    this.lanes.set(key, lane);
    return lane;
  }

  private onRevoking(): void {
    this.commits.revoke();
    this.endAssignment();
  }

  private onAssigned(assignment: readonly TopicPartition[]): void {
    // Some rejoins of kafkajs come without the event before them.
    this.endAssignment();
    this._status$.next('connected');
    const line = { event: names.event.consumerJoined, partitions: assignment.length };
    this.options.log.info(line, 'the consumer has its partitions');
    for (const listener of this.listeners.joined) listener();
  }

  private endAssignment(): void {
    this.commits.forget();
    // Another member tells the lag of what it gets; ours would stand still.
    this.lag.reset();
    for (const lane of this.lanes.values()) lane.reassign();
  }

  private async shutDown(): Promise<void> {
    this.closing.abort();
    const steps = this.drain();
    await Promise.race([steps, delay(closeMsMax, undefined, { ref: false })]);
    const left = this.consumer?.stop();
    await Promise.race([left, delay(closeMsMax, undefined, { ref: false })]);
    this._status$.next('disconnected');
  }

  private async drain(): Promise<void> {
    await Promise.all([...this.lanes.values()].map((lane) => lane.idle()));
    await this.commits.flush();
  }

  private addHealth(): void {
    const { health, readyWithoutKafka = false } = this.options;
    const checkJoined = (): void => {
      const state = this.consumer?.state.kind ?? 'stopped';
      if (state !== 'joined') throw new Error(`the consumer is ${state}`);
    };
    health?.addCheck('kafka', checkJoined, readyWithoutKafka ? 'nothing' : 'readiness');
    health?.addCheck('kafka_consumer', () => this.checkLiveness(Date.now()), 'liveness');
    health?.addInfo('kafka_parked', () =>
      [...this.lanes.values()].flatMap((lane) => lane.parkedPlace ?? []),
    );
  }

  private checkLiveness(nowMs: number): void {
    const state = this.consumer?.state;
    if (state?.kind === 'down' && nowMs - state.sinceMs > downMsMax) {
      throw new Error('the consumer stays down although the broker answers');
    }
    for (const runner of this.runners.values()) {
      if (runner.handlerMs(nowMs) > stepMsMax) {
        throw new Error(`the step over ${runner.topic} does not end`);
      }
    }
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

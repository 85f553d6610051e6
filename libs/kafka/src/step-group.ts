import { setTimeout as delay } from 'node:timers/promises';

import { addLoad, lingerMs, names, noLoad } from '@millrace/runtime';
import type { Counter, Gauge, Linger, Load, Logger } from '@millrace/runtime';

import type { FetchedBatch, KafkaClient, TopicPartition } from './client.ts';
import { OffsetCommits } from './offset-commits.ts';
import { PartitionLane } from './partition-lane.ts';
import { RestartingConsumer } from './restarting-consumer.ts';
import type { ConsumerState } from './restarting-consumer.ts';
import type { StepRunner } from './step-runner.ts';

export interface StepGroupOptions {
  readonly kafka: KafkaClient;
  readonly groupId: string;
  /** By the topic's name on the wire. */
  readonly runners: ReadonlyMap<string, StepRunner>;
  readonly lag: Gauge;
  readonly parked: Gauge;
  readonly restarts: Counter;
  readonly log: Logger;
  /** The member got an assignment. */
  readonly onJoined: () => void;
}

/** The default of a topic's partitions: with one worker each, none waits for another's commit. */
const partitionsConcurrentlyByTopic = 3;
/** However many topics there are, no more partitions than this are worked on at once. */
const partitionsConcurrentlyMax = 96;
/** The wait before the next fetch: records that come one by one meanwhile share its cost. */
const fetchLinger: Linger = { busyPerSecond: 300, lingerMs: 10 };
/**
 * A partition's batch of this size needs no company. Records that were published together come
 * together, and a wait would only hold them up at each hop: without it agents make a tenth more
 * steps with the same CPU. Where 600 jobs a second come one by one, batches have five records, and
 * without the wait each job would take half as much CPU again.
 */
const batchCountEnough = 10;
/** While it stops, before it is asked whether to go on. */
const closingPauseMs = 10;
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
 * One member of one consumer group, over topics that do not change: feeds their steps.
 *
 * G1 Nothing is thrown into kafkajs: a TypeError there would stop the consumer for good.
 * G2 After a rebalance kept partitions begin at their committed offsets: steps are idempotent.
 */
export class StepGroup {
  private readonly lanes = new Map<string, PartitionLane>();
  private readonly closing = new AbortController();
  private readonly commits: OffsetCommits;
  private readonly consumer: RestartingConsumer;
  private closed: Promise<void> | undefined;
  private load: Load = noLoad;

  constructor(private readonly options: StepGroupOptions) {
    const { kafka, groupId, runners, restarts, log } = options;
    this.commits = new OffsetCommits(() => this.consumer.member, log);
    this.consumer = new RestartingConsumer({
      kafka,
      log,
      groupId,
      topics: [...runners.keys()],
      partitionsConcurrently: Math.min(
        runners.size * partitionsConcurrentlyByTopic,
        partitionsConcurrentlyMax,
      ),
      onBatch: (batch) => this.onBatch(batch),
      onRevoking: () => this.onRevoking(),
      onAssigned: (assignment) => this.onAssigned(assignment),
      onRestart: () => restarts.inc(),
    });
  }

  get state(): ConsumerState {
    return this.consumer.state;
  }

  /** Places whose next record waits for another release. */
  get parkedPlaces(): readonly TopicPartition[] {
    return [...this.lanes.values()].flatMap((lane) => lane.parkedPlace ?? []);
  }

  /** In the background: Kafka may come up later. */
  start(): void {
    this.consumer.start();
  }

  /** Stops taking records, lets running steps end, commits, and leaves the group. Idempotent. */
  close(): Promise<void> {
    this.closed ??= this.shutDown();
    return this.closed;
  }

  /** @throws when it does not consume, and will not by itself. */
  checkLiveness(nowMs: number): void {
    const { state } = this;
    if (state.kind === 'down' && nowMs - state.sinceMs > downMsMax) {
      throw new Error('the consumer stays down although the broker answers');
    }
    for (const runner of this.options.runners.values()) {
      if (runner.handlerMs(nowMs) > stepMsMax) {
        throw new Error(`the step over ${runner.topic} does not end`);
      }
    }
  }

  private async onBatch(batch: FetchedBatch): Promise<void> {
    try {
      if (this.closing.signal.aborted) return await delay(closingPauseMs);
      await this.laneOf(batch)?.take(batch);
      await this.linger(batch.messages.length);
    } catch (error) {
      // G1: there is no good reason to come here, and a bad one must not end the consumer.
      this.options.log.error({ topic: batch.topic, error }, 'a batch was given back');
    }
  }

  private async linger(count: number): Promise<void> {
    this.load = addLoad(this.load, count, Date.now());
    if (count >= batchCountEnough || this.closing.signal.aborted) return;
    const waitMs = lingerMs(this.load, fetchLinger);
    if (waitMs > 0) await delay(waitMs);
  }

  private laneOf(place: TopicPartition): PartitionLane | undefined {
    const key = `${place.topic}/${place.partition}`;
    const known = this.lanes.get(key);
    const runner = this.options.runners.get(place.topic);
    if (known !== undefined || runner === undefined) return known;
    const { lag, parked, log } = this.options;
    const lane = new PartitionLane({
      place: { topic: place.topic, partition: place.partition },
      runner,
      commits: this.commits,
      member: () => this.consumer.member,
      closing: this.closing.signal,
      lag,
      parked,
      log,
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
    const { groupId: group, log, onJoined } = this.options;
    const line = { event: names.event.consumerJoined, group, partitions: assignment.length };
    log.info(line, 'the consumer has its partitions');
    onJoined();
  }

  private endAssignment(): void {
    this.commits.forget();
    for (const lane of this.lanes.values()) lane.reassign();
  }

  private async shutDown(): Promise<void> {
    this.closing.abort();
    const steps = this.drain();
    await Promise.race([steps, delay(closeMsMax, undefined, { ref: false })]);
    const left = this.consumer.stop();
    await Promise.race([left, delay(closeMsMax, undefined, { ref: false })]);
    this.endAssignment();
  }

  private async drain(): Promise<void> {
    await Promise.all([...this.lanes.values()].map((lane) => lane.idle()));
    await this.commits.flush();
  }
}

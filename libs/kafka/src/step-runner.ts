import { setTimeout as delay } from 'node:timers/promises';

import type { OutgoingMessage, PayloadCodec, ServiceName } from '@millrace/contracts';
import { failpoint, names } from '@millrace/runtime';
import type { Counter, Histogram, Logger, Metrics } from '@millrace/runtime';

import { readMessage } from './batch-reading.ts';
import type { ReadRecord } from './batch-reading.ts';
import type { FetchedMessage, KafkaClient, WireMessage } from './client.ts';
import { backoffMs } from './core/backoff.ts';
import { deadLetter, withoutValue } from './core/dead-letter.ts';
import type { BadRecord } from './core/decode.ts';
import { messageBytes } from './core/message-bytes.ts';
import { planSlice } from './core/slice-plan.ts';
import type { SlicePlan } from './core/slice-plan.ts';
import type { StepEntry } from './core/step-table.ts';
import { endProcessSpan } from './process-span.ts';
import { PublishError } from './publisher.ts';
import type { Publisher } from './publisher.ts';
import type { EventRecord, RawRecord, StepResult } from './records.ts';

export type StepRecord = EventRecord<unknown> | RawRecord;
export type StepHandler = (records: readonly StepRecord[]) => Promise<StepResult<StepRecord>>;

export type SliceOutcome =
  | { readonly kind: 'done' }
  /** Given up before its commit was sure: the records come again. */
  | { readonly kind: 'interrupted' }
  /** Done up to this offset; the record there waits for another release. */
  | { readonly kind: 'parked'; readonly offset: string; readonly bad: BadRecord };

export interface StepRunnerOptions {
  readonly service: ServiceName;
  readonly group: string;
  readonly kafka: KafkaClient;
  readonly publisher: Pick<Publisher, 'publish'>;
  readonly codec: PayloadCodec;
  readonly log: Logger;
  readonly metrics: Metrics;
}

type Plan = SlicePlan<StepRecord, RawRecord>;

/** A dead letter above this size may be refused only because of the headers that it gained. */
const letterBytesSure = 900 * 1024;

/**
 * Runs one step over slices of one topic: read, handle, publish, and again until it is done.
 *
 * S1 `done` is said only when every message of the result and every dead letter is acknowledged.
 * S2 A throw of the handler or of the publisher is lost infrastructure (or a bug): the same
 *    records, in the same order, are handled again after a wait. Nothing is skipped.
 */
export class StepRunner {
  /** Since when the handler has been running, to tell a hanging one. */
  private readonly runningSinceMs = new Set<{ ms: number }>();
  private readonly duration: Histogram;
  private readonly records: Counter;
  private readonly retries: Counter;
  private readonly letters: Counter;

  constructor(
    private readonly step: StepEntry<StepHandler>,
    private readonly options: StepRunnerOptions,
  ) {
    const { metrics } = options;
    this.duration = metrics.histogram(names.metric.stepDuration, {
      help: 'Seconds of one slice, read to published',
      labels: ['topic'],
    });
    this.records = metrics.counter(names.metric.stepRecords, {
      help: 'Records by what became of them',
      labels: ['topic', 'outcome'],
    });
    this.retries = metrics.counter(names.metric.stepRetries, {
      help: 'Slices that failed and were handled again',
      labels: ['topic'],
    });
    this.letters = metrics.counter(names.metric.deadLetters, {
      help: 'Dead letters by reason',
      labels: ['topic', 'code'],
    });
  }

  get topic(): string {
    return this.step.topic.name;
  }

  /** How long the handler that runs longest has been running. */
  handlerMs(nowMs: number): number {
    return Math.max(0, ...[...this.runningSinceMs].map(({ ms }) => nowMs - ms));
  }

  async run(
    messages: readonly FetchedMessage[],
    partition: number,
    signal: AbortSignal,
  ): Promise<SliceOutcome> {
    const startedAt = performance.now();
    let plan: Plan | undefined;
    for (let attempt = 1; ; ) {
      let waitMs: number;
      try {
        plan ??= await this.read(messages, partition);
        const again = await this.attempt(plan, messages, attempt);
        if (again === null) {
          this.duration.observe({ topic: this.topic }, (performance.now() - startedAt) / 1000);
          return outcomeOf(plan);
        }
        waitMs = again;
      } catch (error) {
        this.tellRetry(error, { partition, attempt, records: messages.length });
        waitMs = backoffMs(attempt, Math.random());
        attempt += 1;
      }
      await delay(waitMs, undefined, { signal }).catch(() => {});
      if (signal.aborted) return this.interrupt(plan);
    }
  }

  private async read(messages: readonly FetchedMessage[], partition: number): Promise<Plan> {
    const { kafka, group, codec } = this.options;
    const clusterId = this.step.form === 'raw' ? await kafka.clusterId() : '';
    const { topic, form } = this.step;
    const reading = { topic, form, partition, group, clusterId, codec };
    const reads: ReadRecord[] = messages.map((message) => readMessage(message, reading));
    return planSlice<StepRecord, RawRecord>(topic, reads);
  }

  /** @returns how long the step wants to wait before it is asked again; null when it is done. */
  private async attempt(
    plan: Plan,
    messages: readonly FetchedMessage[],
    attempt: number,
  ): Promise<number | null> {
    const result = plan.good.length === 0 ? {} : await this.handle(plan.good);
    if (result.retryAfterMs !== undefined) return result.retryAfterMs;
    const letters = new Map<StepRecord, { code: string; letter: WireMessage }>();
    const facts = { service: this.options.service, attempts: attempt, at: new Date() };
    for (const { record, bad } of plan.dead) {
      letters.set(record, { code: bad.code, letter: deadLetter(record, { ...facts, ...bad }) });
    }
    for (const { record, code, detail } of result.deadLetters ?? []) {
      const letter = deadLetter(this.asFetched(record, messages), { ...facts, code, detail });
      letters.set(record, { code, letter });
    }
    await failpoint('step.publishing');
    await this.publish(result.publish ?? [], [...letters.values()].map(({ letter }) => letter));
    await failpoint('step.published');
    this.tellDone(plan, letters, result);
    return null;
  }

  private async handle(records: readonly StepRecord[]): Promise<StepResult<StepRecord>> {
    const running = { ms: Date.now() };
    this.runningSinceMs.add(running);
    try {
      return await this.step.handler(records);
    } finally {
      this.runningSinceMs.delete(running);
    }
  }

  /** The record with its own bytes: what a handler was given is decoded. */
  private asFetched(record: StepRecord, messages: readonly FetchedMessage[]): RawDeadRecord {
    if (!this.step.topic.deadLetters) {
      throw new TypeError(`${this.topic} has no dead letter topic in the topic table`);
    }
    const message = messages.find(({ offset }) => offset === record.offset);
    if (message === undefined) throw new TypeError('a dead letter must be a record of the batch');
    const { topic, partition, offset } = record;
    const { key, value, headers } = message;
    return { topic, partition, offset, key, value, headers };
  }

  private async publish(
    messages: readonly OutgoingMessage[],
    letters: readonly WireMessage[],
  ): Promise<void> {
    const { publisher } = this.options;
    try {
      await publisher.publish([...messages, ...letters]);
    } catch (error) {
      const refused = error instanceof PublishError ? oversizedLetters(error, letters) : undefined;
      if (refused === undefined) throw error;
      await publisher.publish(refused.map(withoutValue));
    }
  }

  private tellDone(
    plan: Plan,
    letters: ReadonlyMap<StepRecord, { code: string }>,
    result: StepResult<StepRecord>,
  ): void {
    for (const record of plan.good) {
      endProcessSpan(record.context, letters.get(record)?.code);
    }
    for (const { record, bad } of plan.dead) endProcessSpan(record.context, bad.code);
    for (const [record, { code }] of letters) this.tellDeadLetter(record, code);
    const dead = letters.size;
    const done = plan.good.length + plan.dead.length - dead;
    if (done > 0) this.records.inc({ topic: this.topic, outcome: 'done' }, done);
    if (dead > 0) this.records.inc({ topic: this.topic, outcome: 'dead_letter' }, dead);
    this.callAfterPublish(result);
  }

  private callAfterPublish(result: StepResult<StepRecord>): void {
    try {
      result.afterPublish?.();
    } catch (error) {
      // The records are done: to handle them again would not mend what comes after.
      this.options.log.error({ topic: this.topic, error }, 'afterPublish of a step threw');
    }
  }

  private tellDeadLetter(record: StepRecord, code: string): void {
    this.letters.inc({ topic: this.topic, code });
    const { topic, partition, offset, context } = record;
    const line = { event: names.event.deadLettered, context, topic, partition, offset, code };
    this.options.log.warn(line, 'a record went to the dead letter topic');
  }

  private tellRetry(
    error: unknown,
    facts: { readonly partition: number; readonly attempt: number; readonly records: number },
  ): void {
    this.retries.inc({ topic: this.topic });
    const line = { event: names.event.stepRetried, topic: this.topic, ...facts, error };
    this.options.log.warn(line, 'a step failed and is handled again');
  }

  private interrupt(plan: Plan | undefined): SliceOutcome {
    for (const record of plan?.good ?? []) endProcessSpan(record.context, undefined);
    for (const { record } of plan?.dead ?? []) endProcessSpan(record.context, undefined);
    return { kind: 'interrupted' };
  }
}

type RawDeadRecord = Parameters<typeof deadLetter>[0];

function outcomeOf(plan: Plan): SliceOutcome {
  if (plan.parkAt === undefined) return { kind: 'done' };
  const { record, bad } = plan.parkAt;
  endProcessSpan(record.context, bad.code);
  return { kind: 'parked', offset: record.offset, bad };
}

/** The refused letters, when nothing else was refused and their size explains it. */
function oversizedLetters(
  error: PublishError,
  letters: readonly WireMessage[],
): readonly WireMessage[] | undefined {
  const refused = letters.filter((letter) => error.failed.includes(letter));
  const isExplained =
    error.reason === 'rejected' &&
    refused.length === error.failed.length &&
    refused.every((letter) => messageBytes(letter) > letterBytesSure);
  return isExplained ? refused : undefined;
}

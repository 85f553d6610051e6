import { setTimeout as sleep } from 'node:timers/promises';

import {
  defaultTenant,
  tenantIdSchema,
  topicOfTenant,
  topics,
  toolRequestedSchema,
  type ToolRequested,
} from '@millrace/contracts';
import { Kafka, type Consumer, type EachBatchPayload, type KafkaConfig } from 'kafkajs';
import type { KafkaMessage, Producer } from 'kafkajs';

import { answerMessage, endOf, failure, type CallEnd } from './core/answer.ts';
import { OffsetTracker } from './core/offset-tracker.ts';
import type { ToolContext, WorkerTool } from './define-tool.ts';
import { KnownCalls } from './known-calls.ts';

export interface ToolWorkerOptions {
  /** As kafkajs takes it: brokers, and what it takes to be let in. */
  readonly kafka: KafkaConfig;
  /**
   * Workers of one group share the calls; a tool is served by one group. The brokers know it as
   * `t.<tenant>.<groupId>` unless the tenant is `default`: a group has one topic.
   */
  readonly groupId: string;
  readonly tools: readonly WorkerTool[];
  /** Whose workers they are; `default` when it is not said. */
  readonly tenant?: string;
  /** Calls at once in this process; 10 when it is not said. */
  readonly callsMax?: number;
  /** How long a stop waits for calls under way before it aborts them; 10 s when it is not said. */
  readonly stopMs?: number;
  /** Before the names of the topics: for brokers that several stacks share. */
  readonly topicPrefix?: string;
  /** Told of records that cannot be read and of what goes wrong with Kafka; calls go on. */
  readonly onError?: (error: unknown) => void;
}

export interface ToolWorker {
  /** Takes nothing more, waits for what runs, and leaves. May be called twice. */
  stop(): Promise<void>;
}

/** Calls whose answers are remembered. */
const callsRememberedMax = 10_000;
const callsMaxDefault = 10;
const stopMsDefault = 10_000;
/** After a failure of Kafka, which kafkajs has tried to mend itself by then. */
const sendAgainMs = 1_000;
/** A fetch that finds nothing ends after this, and a stop with it; records do not wait for it. */
const fetchWaitMs = 500;
/** A full worker tells its group that it lives, this often. */
const heartbeatMs = 1_000;

/**
 * Serves tools of a tenant from Kafka.
 *
 * S1 An offset is committed only when Kafka has acknowledged the answers to all records before it:
 *    a crash repeats calls, and loses none.
 * S2 A call that comes again is answered as before, as long as this process remembers it.
 * S3 At most `callsMax` calls run; what is above waits unread.
 * S4 Whatever a tool does is answered by the deadline, unless the process ends.
 */
export async function runToolWorker(options: ToolWorkerOptions): Promise<ToolWorker> {
  const worker = new RunningWorker(options);
  await worker.start();
  return worker;
}

class RunningWorker implements ToolWorker {
  readonly #options: ToolWorkerOptions;
  readonly #tools: ReadonlyMap<string, WorkerTool>;
  readonly #known = new KnownCalls(callsRememberedMax);
  readonly #consumer: Consumer;
  readonly #producer: Producer;
  readonly #topic: string;
  readonly #stopping = new AbortController();
  readonly #calls = new Set<Promise<void>>();
  /** Of the partitions that are ours; begun anew with each assignment. */
  #trackers = new Map<number, OffsetTracker>();
  #committing: Promise<void> = Promise.resolve();
  #stopped: Promise<void> | null = null;

  constructor(options: ToolWorkerOptions) {
    this.#options = options;
    this.#tools = new Map(options.tools.map((tool) => [tool.name, tool]));
    const kafka = new Kafka({ clientId: options.groupId, ...options.kafka });
    this.#consumer = kafka.consumer({
      groupId: groupOf(options),
      allowAutoTopicCreation: false,
      maxWaitTimeInMs: fetchWaitMs,
    });
    this.#producer = kafka.producer({ allowAutoTopicCreation: false });
    this.#topic = this.#named(requestsTopicOf(options.tenant));
  }

  async start(): Promise<void> {
    await this.#producer.connect();
    await this.#consumer.connect();
    // Partitions may come back to us from where somebody else left them.
    this.#consumer.on('consumer.group_join', () => (this.#trackers = new Map()));
    await this.#consumer.subscribe({ topic: this.#topic, fromBeginning: true });
    await this.#consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: 3,
      eachBatch: (batch) => this.#take(batch),
    });
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#consumer.pause([{ topic: this.#topic }]);
    const waitMs = this.#options.stopMs ?? stopMsDefault;
    const patience = AbortSignal.timeout(waitMs);
    await Promise.race([this.#drained(), aborted(patience)]);
    this.#stopping.abort();
    await this.#drained();
    await this.#commit();
    await this.#consumer.disconnect();
    await this.#producer.disconnect();
  }

  async #drained(): Promise<void> {
    while (this.#calls.size > 0) await Promise.all(this.#calls);
  }

  async #take(fetched: EachBatchPayload): Promise<void> {
    const tracker = this.#trackerOf(fetched.batch.partition);
    for (const message of fetched.batch.messages) {
      while (this.#calls.size >= (this.#options.callsMax ?? callsMaxDefault)) {
        await Promise.race([...this.#calls, sleep(heartbeatMs)]);
        await fetched.heartbeat();
      }
      if (this.#stopped !== null || !fetched.isRunning() || fetched.isStale()) return;
      tracker.taken(message.offset);
      const call = this.#handle(message)
        .catch((error: unknown) => this.#tell(error))
        .then((answered) => {
          this.#calls.delete(call);
          if (answered !== true) return;
          tracker.answered(message.offset);
          void this.#commit();
        });
      this.#calls.add(call);
      // Only where to read on from: what is committed, the tracker says (S1).
      fetched.resolveOffset(message.offset);
    }
    await fetched.heartbeat();
  }

  /** @returns whether nothing is left to be done for the record. */
  async #handle(message: KafkaMessage): Promise<boolean> {
    const request = readRequest(message);
    if (request === null) {
      this.#tell(new Error(`record ${message.offset} of ${this.#topic} cannot be read`));
      return true;
    }
    const tool = this.#tools.get(request.tool);
    // Another group's tool, or a call that nobody waits for.
    if (tool === undefined || Date.parse(request.deadline) <= Date.now()) return true;
    const end = await this.#known.endOf(request.call_id, request.attempt, () =>
      this.#run(tool, request),
    );
    // Not answered by a worker that gives up: the call goes to another one.
    if (this.#stopping.signal.aborted && end === givenUp) return false;
    return this.#answer(request, end, headersOf(message));
  }

  async #run(tool: WorkerTool, request: ToolRequested): Promise<CallEnd> {
    const deadline = new Date(request.deadline);
    const late = AbortSignal.timeout(Math.max(1, deadline.getTime() - Date.now()));
    const signal = AbortSignal.any([late, this.#stopping.signal]);
    const { attempt, call_id: callId, job_id: jobId } = request;
    const running = endOfRun(tool, request, { callId, jobId, attempt, deadline, signal });
    const cut = aborted(signal).then(() => (late.aborted ? tooLate : givenUp));
    return Promise.race([running, cut]);
  }

  /** Until Kafka has it, or the worker has stopped waiting. */
  async #answer(
    request: ToolRequested,
    end: CallEnd,
    requestHeaders: Readonly<Record<string, string>>,
  ): Promise<boolean> {
    const source = `/workers/${this.#options.groupId}`;
    const message = answerMessage(request, end, { source, at: new Date(), requestHeaders });
    const topic = this.#named(topics.toolsCompleted.name);
    for (;;) {
      try {
        await this.#producer.send({ topic, acks: -1, messages: [message] });
        return true;
      } catch (error) {
        this.#tell(error);
        if (this.#stopping.signal.aborted) return false;
        await sleep(sendAgainMs);
      }
    }
  }

  /** One commit at a time; what is answered meanwhile goes with the next. */
  #commit(): Promise<void> {
    this.#committing = this.#committing.then(async () => {
      const trackers = this.#trackers;
      const due = [...trackers].flatMap(([partition, tracker]) => {
        const offset = tracker.due();
        return offset === null ? [] : [{ topic: this.#topic, partition, offset, tracker }];
      });
      if (due.length === 0) return;
      try {
        await this.#consumer.commitOffsets(
          due.map(({ offset, partition, topic }) => ({ topic, partition, offset })),
        );
        for (const { offset, tracker } of due) tracker.committed(offset);
      } catch (error) {
        // The group has changed, or Kafka is away: the records come again.
        this.#tell(error);
      }
    });
    return this.#committing;
  }

  #trackerOf(partition: number): OffsetTracker {
    const known = this.#trackers.get(partition);
    if (known !== undefined) return known;
    const tracker = new OffsetTracker();
    this.#trackers.set(partition, tracker);
    return tracker;
  }

  #named(topic: string): string {
    return `${this.#options.topicPrefix ?? ''}${topic}`;
  }

  #tell(error: unknown): void {
    this.#options.onError?.(error);
  }
}

/** Never throws: what a tool throws is its answer. */
async function endOfRun(
  tool: WorkerTool,
  request: ToolRequested,
  context: ToolContext,
): Promise<CallEnd> {
  try {
    const call = tool.parse(request.arguments);
    if (!call.ok) return failure('invalid_arguments', call.detail);
    return endOf(await call.run(context));
  } catch (error) {
    return failure('tool_failed', error instanceof Error ? error.message : String(error));
  }
}

const tooLate = failure('tool_timeout', 'the tool did not answer by the deadline');
const givenUp = failure('tool_failed', 'the worker has stopped');

/**
 * Members of one group that read different topics starve each other, and two tenants may well give
 * theirs the same name.
 */
function groupOf({ groupId, tenant = defaultTenant }: ToolWorkerOptions): string {
  return tenant === defaultTenant ? groupId : `t.${tenant}.${groupId}`;
}

function requestsTopicOf(given: string | undefined): string {
  const tenant = tenantIdSchema.parse(given ?? defaultTenant);
  if (tenant === defaultTenant) return topics.toolsRequested.name;
  return topicOfTenant(topics.tenantToolsRequested, tenant).name;
}

function readRequest({ value }: KafkaMessage): ToolRequested | null {
  try {
    return toolRequestedSchema.parse(JSON.parse(String(value)));
  } catch {
    return null;
  }
}

function headersOf({ headers = {} }: KafkaMessage): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, String(value)]),
  );
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

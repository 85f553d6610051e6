import {
  type Attempt,
  type ClaudeDelta,
  cloudEventHeaders,
  type JobProgressed,
  type OutgoingMessage,
  type PayloadCodec,
  type Topic,
  topics,
  traceHeaders,
} from '@millrace/contracts';
import { type Logger, names } from '@millrace/runtime';

import { type Call, jobIdOf } from './core/call.ts';
import { type Delta, DeltaBuffer } from './core/delta-buffer.ts';

export interface DeltaTellerOptions {
  /** The second publisher: what it sends never delays a result. */
  readonly publish: (messages: readonly OutgoingMessage[]) => Promise<void>;
  readonly codec: PayloadCodec;
  readonly lingerMs: number;
  readonly log: Logger;
}

/** The text of one attempt on its way to those who listen. */
export interface DeltaStream {
  push(text: string): void;
  /** No more text comes: what waits leaves now. */
  end(): void;
}

interface Waiting {
  readonly call: Call;
  readonly buffer: DeltaBuffer;
}

/**
 * Tells the text of streamed answers: the first piece at once, what follows together, until the
 * linger is over or 2 KiB wait, whichever comes first. While one publish is under way text gathers,
 * so pressure makes fewer and larger events. What cannot be published is dropped: the result does
 * not depend on it.
 */
export class DeltaTeller {
  readonly #options: DeltaTellerOptions;
  readonly #waiting = new Set<Waiting>();
  #timer: NodeJS.Timeout | null = null;
  #publishing: Promise<void> | null = null;

  constructor(options: DeltaTellerOptions) {
    this.#options = options;
  }

  open(call: Call): DeltaStream {
    const waiting: Waiting = { call, buffer: new DeltaBuffer() };
    return {
      push: (text) => {
        if (text === '') return;
        const isFirst = waiting.buffer.isFirst && waiting.buffer.isEmpty;
        waiting.buffer.append(text);
        this.#waiting.add(waiting);
        if (isFirst || waiting.buffer.isFull) this.#flush();
        else this.#flushSoon();
      },
      end: () => this.#flush(),
    };
  }

  /** Tells that a call has been running for a while. Workflows tell of themselves. */
  tellRunning(call: Call, at: Date): void {
    if (call.reply.kind === 'workflow') return;
    const data: JobProgressed = {
      kind: 'running',
      tenant: call.tenant,
      job_id: jobIdOf(call),
      status: 'running',
      attempt: call.attempt,
      created_at: call.reply.created_at,
      at: at.toISOString(),
    };
    const id = `${call.tenant}:${call.callId}:${call.attempt}:running`;
    this.#tellProgress(call, id, data);
  }

  /** Tells of an attempt after which its call goes on. The call's end tells of it, too. */
  tellAttempt(call: Call, attempt: Attempt): void {
    const { callId, reply, tenant } = call;
    if (reply.kind === 'workflow') return;
    const id = `${tenant}:${callId}:${attempt.number}:attempted`;
    const { created_at } = reply;
    const job_id = jobIdOf(call);
    this.#tellProgress(call, id, { kind: 'attempt', tenant, job_id, created_at, attempt });
  }

  #tellProgress(call: Call, id: string, data: JobProgressed): void {
    const type = 'millrace.job.progressed.v1';
    void this.#publish([
      this.#message({ topic: topics.jobsProgressed, type, id, key: call.callId, call, data }),
    ]);
  }

  async stop(): Promise<void> {
    this.#flush();
    while (this.#publishing !== null) await this.#publishing;
  }

  #flushSoon(): void {
    this.#timer ??= setTimeout(() => this.#flush(), this.#options.lingerMs);
  }

  #flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    // What gathers meanwhile leaves when the publish under way has ended.
    if (this.#publishing !== null || this.#waiting.size === 0) return;
    const messages: OutgoingMessage[] = [];
    for (const { call, buffer } of this.#waiting) {
      for (const delta of buffer.take()) messages.push(this.#deltaMessage(call, delta));
    }
    this.#waiting.clear();
    this.#publishing = this.#publish(messages).finally(() => {
      this.#publishing = null;
      if (this.#waiting.size > 0) this.#flush();
    });
  }

  async #publish(messages: readonly OutgoingMessage[]): Promise<void> {
    try {
      await this.#options.publish(messages);
    } catch (error) {
      const fields = { event: names.event.publishFailed, messages: messages.length, error };
      this.#options.log.warn(fields, 'text or progress of a call was not told');
    }
  }

  #deltaMessage(call: Call, { start, text }: Delta): OutgoingMessage {
    const { tenant, callId, attempt, reply } = call;
    const jobId = jobIdOf(call);
    const turn = reply.kind === 'workflow' ? reply.turn : 1;
    const data: ClaudeDelta = { tenant, job_id: jobId, turn, attempt, start, text };
    return this.#message({
      topic: topics.claudeDeltas,
      type: 'millrace.claude.delta.v1',
      id: `${tenant}:${callId}:${attempt}:${start}`,
      key: `${tenant}/${jobId}`,
      call,
      data,
    });
  }

  /** Plain headers: a span for each of these events would cost more than it tells. */
  #message(event: {
    readonly topic: Topic;
    readonly type: string;
    readonly id: string;
    readonly key: string;
    readonly call: Call;
    readonly data: ClaudeDelta | JobProgressed;
  }): OutgoingMessage {
    const { call, data, topic } = event;
    const { tenant, traceparent } = call;
    const json = Buffer.from(JSON.stringify(data));
    return {
      topic: topic.name,
      key: event.key,
      value: this.#options.codec.encode(json, { tenant, medium: 'kafka' }),
      headers: {
        [cloudEventHeaders.id]: event.id,
        [cloudEventHeaders.source]: '/millrace/claude-worker',
        [cloudEventHeaders.type]: event.type,
        [cloudEventHeaders.specVersion]: '1.0',
        [cloudEventHeaders.time]: new Date().toISOString(),
        [cloudEventHeaders.tenant]: tenant,
        [cloudEventHeaders.subject]: data.job_id,
        [cloudEventHeaders.contentType]: 'application/json',
        ...(traceparent === null ? {} : { [traceHeaders.parent]: traceparent }),
      },
    };
  }
}

import {
  cloudEventHeaders,
  type ClaudeBacklog,
  type OutgoingMessage,
  type PayloadCodec,
  type Topic,
  topics,
} from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';

import type { Backlogs } from './ports.ts';

/** How often a process asks whether it is its turn to count. */
const askEveryMs = 1_000;
/** The one key: only the latest count is worth keeping. */
const key = 'worker';
/** It is about the platform, and belongs to nobody. */
const nobody = '';

/**
 * Tells ingest how much work waits, so that it can refuse more at the door: no other service sees
 * this service's tables. What cannot be told is dropped; the next count is a second away.
 */
export class BacklogTeller {
  #timer: NodeJS.Timeout | undefined;
  #telling: Promise<void> | null = null;

  constructor(
    private readonly options: {
      readonly backlogs: Backlogs;
      readonly publish: (messages: readonly OutgoingMessage[]) => Promise<void>;
      readonly codec: PayloadCodec;
      readonly log: Logger;
    },
  ) {}

  start(): void {
    this.#timer = setInterval(() => {
      this.#telling ??= this.#tell().finally(() => (this.#telling = null));
    }, askEveryMs);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#telling;
  }

  async #tell(): Promise<void> {
    const { backlogs, log, publish } = this.options;
    try {
      const data = await backlogs.count();
      if (data === null) return;
      await publish([this.#message({ topic: topics.claudeBacklog, data })]);
    } catch (error) {
      log.warn({ error }, 'how much work waits cannot be told now');
    }
  }

  /** Plain headers: a trace of its own for each count would tell nothing. */
  #message({ topic, data }: { topic: Topic; data: ClaudeBacklog }): OutgoingMessage {
    const json = Buffer.from(JSON.stringify(data));
    return {
      topic: topic.name,
      key,
      value: this.options.codec.encode(json, { tenant: nobody, medium: 'kafka' }),
      headers: {
        [cloudEventHeaders.id]: `backlog:${data.counted_at}`,
        [cloudEventHeaders.source]: '/millrace/claude-worker',
        [cloudEventHeaders.type]: 'millrace.claude.backlog.v1',
        [cloudEventHeaders.specVersion]: '1.0',
        [cloudEventHeaders.time]: data.counted_at,
        [cloudEventHeaders.contentType]: 'application/json',
      },
    };
  }
}

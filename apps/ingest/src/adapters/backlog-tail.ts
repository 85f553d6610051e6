import { PayloadCodec, topics, type ClaudeBacklog } from '@millrace/contracts';
import { KafkaClient, TopicTail } from '@millrace/kafka';
import { Logger } from '@millrace/runtime';
import { Injectable } from '@nestjs/common';

import { PlatformLoad } from '../platform-load.ts';
import { Clock } from '../ports.ts';

/** Brings what claude-worker tells of its queue to this process's door. */
@Injectable()
export class BacklogTail {
  private readonly tail: TopicTail<ClaudeBacklog>;

  constructor(
    kafka: KafkaClient,
    codec: PayloadCodec,
    log: Logger,
    clock: Clock,
    load: PlatformLoad,
  ) {
    this.tail = new TopicTail({
      kafka,
      codec,
      log,
      topic: topics.claudeBacklog,
      fromMs: clock.now().getTime(),
      onRecords: (records) => {
        const latest = records.at(-1);
        if (latest !== undefined) load.tell(latest.data);
      },
    });
  }

  /** Resolves when it has its place. */
  start(): Promise<void> {
    return this.tail.start();
  }

  stop(): Promise<void> {
    return this.tail.stop();
  }
}

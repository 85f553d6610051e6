import {
  PayloadCodec,
  cloudEventHeaders,
  jobIdSchema,
  topics,
  type ClaudeDelta,
  type JobFinished,
  type JobProgressed,
  type JobStep,
} from '@millrace/contracts';
import { KafkaClient, TopicTail, type TailedRecord } from '@millrace/kafka';
import { Logger } from '@millrace/runtime';
import { Injectable } from '@nestjs/common';

import { saysRunning, saysStatus } from '../core/progress-event.ts';
import { LiveJobs } from '../live-jobs.ts';
import { Clock, type LiveFeed } from '../ports.ts';
import { StreamSettings } from '../stream-settings.ts';

/** No call runs longer than this: what is being written now began after it. */
const totalDeadlineMsMax = 60 * 60_000;
/** Ends are looked for a little in the past: clocks of brokers and services differ. */
const clockSkewMs = 10_000;

/** Brings what happens to jobs, in any process, to the streams that are open in this one. */
@Injectable()
export class KafkaTails implements LiveFeed {
  private readonly deltas: TopicTail<ClaudeDelta | JobStep>;
  private readonly ends: TopicTail<JobFinished>;
  private readonly progress: TopicTail<JobProgressed>;

  constructor(
    kafka: KafkaClient,
    codec: PayloadCodec,
    log: Logger,
    live: LiveJobs,
    clock: Clock,
    private readonly settings: StreamSettings,
  ) {
    const nowMs = clock.now().getTime();
    const common = { kafka, codec, log };
    this.deltas = new TopicTail({
      ...common,
      topic: topics.claudeDeltas,
      fromMs: nowMs - totalDeadlineMsMax,
      onRecords: (records) => {
        for (const { data, offset } of records) {
          if ('step' in data) live.addStep(data, Number(offset));
          else live.addDelta(data);
        }
      },
    });
    this.ends = new TopicTail({
      ...common,
      topic: topics.jobsFinished,
      fromMs: nowMs - clockSkewMs,
      accepts: (record) => acceptsEnd(record, live),
      onRecords: (records) => {
        for (const { data } of records) live.finished(data);
      },
    });
    this.progress = new TopicTail({
      ...common,
      topic: topics.jobsProgressed,
      fromMs: nowMs - clockSkewMs,
      onRecords: (records) => {
        for (const { data } of records) {
          if (saysRunning(data)) live.running({ tenant: data.tenant, id: data.job_id });
          if (saysStatus(data)) live.status(data);
        }
      },
    });
  }

  /** Resolves when all have their places. */
  async start(): Promise<void> {
    await Promise.all([this.deltas.start(), this.ends.start(), this.progress.start()]);
  }

  /** Only text needs it: an end that comes late here is in the row. */
  async caughtUp(withinMs = this.settings.catchUpMsMax): Promise<void> {
    await this.deltas.caughtUp(withinMs);
  }

  async stop(): Promise<void> {
    await Promise.all([this.deltas.stop(), this.ends.stop(), this.progress.stop()]);
  }
}

/** Nearly all ends are of jobs that nobody watches: those are noted, and not parsed. */
function acceptsEnd({ key, headers }: TailedRecord, live: LiveJobs): boolean {
  const tenant = headers[cloudEventHeaders.tenant];
  const job = jobIdSchema.safeParse(key);
  if (tenant === undefined || !job.success) return false;
  if (live.isWatched(tenant, job.data)) return true;
  live.ended(tenant, job.data);
  return false;
}

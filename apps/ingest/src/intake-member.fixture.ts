import { IdentityPayloadCodec, type OutgoingMessage } from '@millrace/contracts';
import { Blobs, createPool, type Outbox, type Pool, type TenantDatabase } from '@millrace/postgres';
import { Metrics, SilentLogger } from '@millrace/runtime';
import { PostgresProxy } from '@millrace/testing';

import { BlobBodies } from './adapters/blob-bodies.ts';
import type { PostgresJobs } from './adapters/postgres-jobs.ts';
import type { PostgresReleases } from './adapters/postgres-releases.ts';
import { PostgresTimelines } from './adapters/postgres-timelines.ts';
import { AdmissionCounter } from './admission-counter.ts';
import { Admission } from './admission.ts';
import { EndTelemetry } from './end-telemetry.ts';
import { FinishedJobsConsumer } from './finished-jobs.consumer.ts';
import { JobCancel } from './job-cancel.ts';
import { JobIntake } from './job-intake.ts';
import { JobPreparation } from './job-preparation.ts';
import { JobReleases } from './job-releases.ts';
import { KafkaIntakeConsumer } from './kafka-intake.consumer.ts';
import { LiveJobs } from './live-jobs.ts';
import { MemoryToldRuns } from './memory-told-runs.fixture.ts';
import { OwnLoad } from './own-load.ts';
import { PlatformLoad } from './platform-load.ts';
import { ProgressedJobsConsumer } from './progressed-jobs.consumer.ts';
import { streamSettings } from './stream-settings.ts';
import { SubmissionCounter } from './submission-counter.ts';
import { ToldRunKeeper } from './told-run-keeper.ts';

/** What a spec puts a bug into. */
export interface Parts {
  readonly Jobs: typeof PostgresJobs;
  readonly Releases: typeof PostgresReleases;
  readonly Outbox: typeof Outbox;
  /** Whether records count as taken although their step failed. */
  readonly movesOffsetsEarly: boolean;
}

export interface MemberOptions {
  readonly parts: Parts;
  readonly databaseUrl: string;
  readonly own: TenantDatabase;
  /** What Kafka has acknowledged. */
  readonly tell: (message: OutgoingMessage) => void;
}

const codec = new IdentityPayloadCodec();
const log = new SilentLogger();
const connectionsMax = 8;
/** So that a run waits for no whole seconds. */
const sweep = { sweepEveryMs: 40, sweepAfterMs: 120 };
const limits = { tenantWaitingMax: 1_000_000, ageMsMax: 3_600_000 };
const rules = { defaultModel: 'claude-sonnet-5-5', checkUrl: () => ({ ok: true }) as const };
const clock = { now: () => new Date() };
/** Nobody follows these jobs, and no text is told of them. */
const streams = streamSettings({ STREAMS_MAX: 1, STREAMS_PER_TENANT_MAX: 1 });
const feed = { caughtUp: () => Promise.resolve() };

/** One replica of ingest but its edges: all that it writes to Postgres goes by its own proxy. */
export class IntakeMember {
  isDead = false;

  private constructor(
    readonly proxy: PostgresProxy,
    readonly intake: JobIntake,
    readonly records: KafkaIntakeConsumer,
    readonly cancel: JobCancel,
    readonly finished: FinishedJobsConsumer,
    readonly progressed: ProgressedJobsConsumer,
    private readonly running: {
      readonly jobs: PostgresJobs;
      readonly outbox: Outbox;
      readonly pool: Pool;
      readonly releases: JobReleases;
    },
  ) {}

  static async start(o: MemberOptions): Promise<IntakeMember> {
    const proxy = await PostgresProxy.start(o.databaseUrl);
    const max = connectionsMax;
    const pool = createPool({ url: proxy.url, max, applicationName: 'intake-model member' });
    const bodies = new BlobBodies({ blobs: new Blobs(pool), own: o.own, codec });
    const jobs = new o.parts.Jobs({ pool, own: o.own, codec, bodies });
    const waiting = new o.parts.Releases({ pool, codec, silentMs: 600_000 });
    const timelines = new PostgresTimelines({ pool, own: o.own, codec });
    const outbox = new o.parts.Outbox({
      pool,
      schema: 'ingest',
      // What dies here is published by nobody.
      publish: async (messages) => {
        await Promise.resolve();
        if (member.isDead) throw new Error('the process is gone');
        for (const message of messages) o.tell(message);
      },
      isRefusal: () => false,
      onError: () => undefined,
      ...sweep,
    });
    const metrics = new Metrics();
    const telemetry = new EndTelemetry(metrics, log);
    const releases = new JobReleases(waiting, outbox, clock, codec, telemetry, log);
    const own = new OwnLoad();
    const door = new Admission(own, new PlatformLoad(), limits, new AdmissionCounter(metrics));
    const preparation = new JobPreparation(bodies);
    const counter = new SubmissionCounter(metrics);
    const told = new ToldRunKeeper(new LiveJobs(streams), feed, new MemoryToldRuns());
    const shared = [{ rules }, clock, codec, releases, counter, log] as const;
    const member: IntakeMember = new IntakeMember(
      proxy,
      new JobIntake(door, own, jobs, preparation, outbox, ...shared),
      new KafkaIntakeConsumer(door, jobs, preparation, ...shared),
      new JobCancel(jobs, waiting, timelines, outbox, clock, codec, telemetry),
      new FinishedJobsConsumer(jobs, told, telemetry, log),
      new ProgressedJobsConsumer(jobs, timelines),
      { jobs, outbox, pool, releases },
    );
    outbox.start();
    releases.start();
    return member;
  }

  /** From now on nothing that it does is written, and nobody hears of it. */
  die(): void {
    this.isDead = true;
    this.proxy.refuse();
  }

  async stop(): Promise<void> {
    const { jobs, outbox, pool, releases } = this.running;
    await releases.stop();
    await jobs.close();
    await outbox.stop();
    await pool.end();
    await this.proxy.stop();
  }
}

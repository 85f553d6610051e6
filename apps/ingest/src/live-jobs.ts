import type {
  ClaudeDelta,
  JobFinished,
  JobStatusChanged,
  JobStep,
} from '@millrace/contracts';
import { Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';

import {
  addPiece,
  addStep,
  forgotten,
  type LiveRun,
  type RunChange,
} from './core/live-run.ts';
import type { JobName } from './ports.ts';
import { StreamSettings } from './stream-settings.ts';

/** Text of jobs that nobody watches yet, for those who come late: some ten thousand answers. */
const unwatchedBytesMax = 64 * 1024 * 1024;
/** Who comes later than this after a job's last token finds its end in the row. */
const unwatchedMs = 15 * 60_000;
/** What was told of jobs that ended a moment ago, until it is kept: a thousand long answers. */
const endedBytesMax = 16 * 1024 * 1024;
/** Ends remembered until their rows have followed, which takes milliseconds. */
const recentEndsMax = 20_000;
const recentEndsMs = 60_000;

/** Told of what happens to one job. Must not throw. */
export interface JobWatcher {
  changed(changes: readonly RunChange[]): void;
  running(): void;
  status(told: JobStatusChanged): void;
  finished(end: JobFinished): void;
}

export interface JobWatch {
  /** What was told so far; what comes after it is told to the watcher. */
  readonly run: LiveRun | undefined;
  /** The job has ended a moment ago: its row says so, or will within milliseconds. */
  readonly hasEnded: boolean;
  stop(): void;
}

interface Watched {
  run: LiveRun | undefined;
  readonly watchers: Set<JobWatcher>;
}

/**
 * What is known of jobs that run now, from the topics that tell it; nothing here is durable.
 *
 * L1 What was told of a watched job is kept as long as it is watched, that of others while there is
 *    room. Both have bounds: a text that would go beyond is forgotten, and its pieces are told on.
 *    What ended is kept until whoever keeps it for longer had time to.
 * L2 Watching and reading the text so far is one step: no delta falls between the two.
 */
@Injectable()
export class LiveJobs {
  private readonly watched = new Map<string, Watched>();
  private readonly unwatched = new LRUCache<string, LiveRun>({
    maxSize: unwatchedBytesMax,
    sizeCalculation: sizeOf,
    ttl: unwatchedMs,
  });
  private readonly endedRuns = new LRUCache<string, LiveRun>({
    maxSize: endedBytesMax,
    sizeCalculation: sizeOf,
    ttl: recentEndsMs,
  });
  private readonly recentEnds = new LRUCache<string, true>({
    max: recentEndsMax,
    ttl: recentEndsMs,
  });

  private watchedLength = 0;

  constructor(private readonly settings: StreamSettings) {}

  watch(name: JobName, watcher: JobWatcher): JobWatch {
    const key = keyOf(name.tenant, name.id);
    const entry = this.watched.get(key) ?? {
      run: this.unwatched.get(key) ?? this.endedRuns.get(key),
      watchers: new Set<JobWatcher>(),
    };
    if (!this.watched.has(key)) this.watchedLength += lengthOf(entry.run);
    this.watched.set(key, entry);
    this.unwatched.delete(key);
    entry.watchers.add(watcher);
    return {
      run: entry.run,
      hasEnded: this.hasEnded(name),
      stop: () => this.unwatch(key, watcher),
    };
  }

  /** What was told of a job so far, also of one that ended a moment ago. */
  runOf({ id, tenant }: JobName): LiveRun | undefined {
    const key = keyOf(tenant, id);
    return this.watched.get(key)?.run ?? this.unwatched.get(key) ?? this.endedRuns.get(key);
  }

  addDelta(delta: ClaudeDelta): void {
    const key = keyOf(delta.tenant, delta.job_id);
    const entry = this.watched.get(key);
    this.take(key, entry, addPiece(this.runOf({ tenant: delta.tenant, id: delta.job_id }), delta));
  }

  /** @param offset where the record lies in its partition, which is the job's. */
  addStep(step: JobStep, offset: number): void {
    const key = keyOf(step.tenant, step.job_id);
    const entry = this.watched.get(key);
    const told = { kind: 'step', offset, step } as const;
    this.take(key, entry, addStep(this.runOf({ tenant: step.tenant, id: step.job_id }), told));
  }

  /** Whether the end of a job was heard of a moment ago. */
  hasEnded({ id, tenant }: JobName): boolean {
    return this.recentEnds.has(keyOf(tenant, id));
  }

  /** Whether anyone watches the job: only then its events are worth parsing. */
  isWatched(tenant: string, job: string): boolean {
    return this.watched.has(keyOf(tenant, job));
  }

  running(name: JobName): void {
    const entry = this.watched.get(keyOf(name.tenant, name.id));
    for (const watcher of [...(entry?.watchers ?? [])]) watcher.running();
  }

  status(told: JobStatusChanged): void {
    const entry = this.watched.get(keyOf(told.tenant, told.job_id));
    for (const watcher of [...(entry?.watchers ?? [])]) watcher.status(told);
  }

  /** Notes an end that nobody watches; cheap, as most are. */
  ended(tenant: string, job: string): void {
    const key = keyOf(tenant, job);
    this.recentEnds.set(key, true);
    const run = this.unwatched.get(key);
    if (run !== undefined) this.endedRuns.set(key, run);
    this.unwatched.delete(key);
  }

  finished(end: JobFinished): void {
    this.ended(end.tenant, end.job_id);
    const entry = this.watched.get(keyOf(end.tenant, end.job_id));
    for (const watcher of [...(entry?.watchers ?? [])]) watcher.finished(end);
  }

  private take(
    key: string,
    entry: Watched | undefined,
    { changes, run }: { readonly run: LiveRun; readonly changes: readonly RunChange[] },
  ): void {
    if (entry === undefined) {
      // A job may end before its last pieces arrive: they are not kept for long.
      this.leave(key, run);
      return;
    }
    this.keep(entry, run);
    if (changes.length === 0) return;
    for (const watcher of [...entry.watchers]) watcher.changed(changes);
  }

  private keep(entry: Watched, run: LiveRun): void {
    const before = lengthOf(entry.run);
    const after = this.watchedLength - before + run.length;
    entry.run = after <= this.settings.watchedLengthMax ? run : forgotten(run);
    this.watchedLength += entry.run.length - before;
  }

  private unwatch(key: string, watcher: JobWatcher): void {
    const entry = this.watched.get(key);
    if (entry === undefined || !entry.watchers.delete(watcher)) return;
    if (entry.watchers.size > 0) return;
    this.watched.delete(key);
    this.watchedLength -= lengthOf(entry.run);
    if (entry.run !== undefined) this.leave(key, entry.run);
  }

  /** Keeps the run of a job that nobody watches. */
  private leave(key: string, run: LiveRun): void {
    (this.recentEnds.has(key) ? this.endedRuns : this.unwatched).set(key, run);
  }
}

function keyOf(tenant: string, job: string): string {
  return `${tenant}/${job}`;
}

/** Bytes in memory. */
function sizeOf({ length }: LiveRun): number {
  return 256 + length * 2;
}

function lengthOf(run: LiveRun | undefined): number {
  return run?.length ?? 0;
}

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
 * L2 Watching and reading the text so far is one step: no delta falls between the two.
 */
@Injectable()
export class LiveJobs {
  private readonly watched = new Map<string, Watched>();
  private readonly unwatched = new LRUCache<string, LiveRun>({
    maxSize: unwatchedBytesMax,
    sizeCalculation: ({ length }) => 256 + length * 2,
    ttl: unwatchedMs,
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
      run: this.unwatched.get(key),
      watchers: new Set<JobWatcher>(),
    };
    if (!this.watched.has(key)) this.watchedLength += lengthOf(entry.run);
    this.watched.set(key, entry);
    this.unwatched.delete(key);
    entry.watchers.add(watcher);
    return {
      run: entry.run,
      hasEnded: this.recentEnds.has(key),
      stop: () => this.unwatch(key, watcher),
    };
  }

  addDelta(delta: ClaudeDelta): void {
    const key = keyOf(delta.tenant, delta.job_id);
    const entry = this.watched.get(key);
    this.take(key, entry, addPiece(entry?.run ?? this.unwatched.get(key), delta));
  }

  /** @param offset where the record lies in its partition, which is the job's. */
  addStep(step: JobStep, offset: number): void {
    const key = keyOf(step.tenant, step.job_id);
    const entry = this.watched.get(key);
    const told = { kind: 'step', offset, step } as const;
    this.take(key, entry, addStep(entry?.run ?? this.unwatched.get(key), told));
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
      // A job that ended before its last pieces arrived is not kept: its row holds the result.
      if (!this.recentEnds.has(key)) this.unwatched.set(key, run);
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
    if (entry.run === undefined || this.recentEnds.has(key)) return;
    this.unwatched.set(key, entry.run);
  }
}

function keyOf(tenant: string, job: string): string {
  return `${tenant}/${job}`;
}

function lengthOf(run: LiveRun | undefined): number {
  return run?.length ?? 0;
}

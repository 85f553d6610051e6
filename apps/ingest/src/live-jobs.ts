import type { ClaudeDelta, JobFinished } from '@millrace/contracts';
import { Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';

import { addDelta, type LiveChange, type LiveText } from './core/live-text.ts';
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
  changed(changes: readonly LiveChange[]): void;
  running(): void;
  finished(end: JobFinished): void;
}

export interface JobWatch {
  /** The text so far; what comes after it is told to the watcher. */
  readonly live: LiveText | undefined;
  /** The job has ended a moment ago: its row says so, or will within milliseconds. */
  readonly hasEnded: boolean;
  stop(): void;
}

interface Watched {
  live: LiveText | undefined;
  readonly watchers: Set<JobWatcher>;
}

/**
 * What is known of jobs that run now, from the topics that tell it; nothing here is durable.
 *
 * L1 The text of a watched job is kept as long as it is watched, that of others while there is
 *    room. Both have bounds: a text that would go beyond is forgotten, and its pieces are told on.
 * L2 Watching and reading the text so far is one step: no delta falls between the two.
 */
@Injectable()
export class LiveJobs {
  private readonly watched = new Map<string, Watched>();
  private readonly unwatched = new LRUCache<string, LiveText>({
    maxSize: unwatchedBytesMax,
    sizeCalculation: (live) => 256 + live.text.length * 2,
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
      live: this.unwatched.get(key),
      watchers: new Set<JobWatcher>(),
    };
    if (!this.watched.has(key)) this.watchedLength += lengthOf(entry.live);
    this.watched.set(key, entry);
    this.unwatched.delete(key);
    entry.watchers.add(watcher);
    return {
      live: entry.live,
      hasEnded: this.recentEnds.has(key),
      stop: () => this.unwatch(key, watcher),
    };
  }

  addDelta(delta: ClaudeDelta): void {
    const key = keyOf(delta.tenant, delta.job_id);
    const entry = this.watched.get(key);
    const { live, changes } = addDelta(entry?.live ?? this.unwatched.get(key), delta);
    if (entry === undefined) {
      // A job that ended before its last pieces arrived is not kept: its row holds the result.
      if (!this.recentEnds.has(key)) this.unwatched.set(key, live);
      return;
    }
    this.keep(entry, live);
    if (changes.length === 0) return;
    for (const watcher of [...entry.watchers]) watcher.changed(changes);
  }

  /** Whether anyone watches the job: only then its events are worth parsing. */
  isWatched(tenant: string, job: string): boolean {
    return this.watched.has(keyOf(tenant, job));
  }

  running(name: JobName): void {
    const entry = this.watched.get(keyOf(name.tenant, name.id));
    for (const watcher of [...(entry?.watchers ?? [])]) watcher.running();
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

  private keep(entry: Watched, live: LiveText): void {
    const before = lengthOf(entry.live);
    const after = this.watchedLength - before + live.text.length;
    entry.live = after <= this.settings.watchedLengthMax ? live : { ...live, text: '' };
    this.watchedLength += entry.live.text.length - before;
  }

  private unwatch(key: string, watcher: JobWatcher): void {
    const entry = this.watched.get(key);
    if (entry === undefined || !entry.watchers.delete(watcher)) return;
    if (entry.watchers.size > 0) return;
    this.watched.delete(key);
    this.watchedLength -= lengthOf(entry.live);
    if (entry.live === undefined || this.recentEnds.has(key)) return;
    this.unwatched.set(key, entry.live);
  }
}

function keyOf(tenant: string, job: string): string {
  return `${tenant}/${job}`;
}

function lengthOf(live: LiveText | undefined): number {
  return live?.text.length ?? 0;
}

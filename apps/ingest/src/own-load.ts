import { monitorEventLoopDelay } from 'node:perf_hooks';

import { Injectable, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';

import type { ProcessLoad } from './core/admission.ts';

/** The timer whose lateness is measured, and how long its measures are put together. */
const resolutionMs = 20;
const windowMs = 1_000;
const nanosecondsPerMs = 1_000_000;

/** What this process has on its hands: commits that are under way, and its event loop. */
@Injectable()
export class OwnLoad implements OnModuleInit, OnModuleDestroy {
  /** In the order in which they began. */
  private readonly commits = new Set<{ readonly sinceMs: number }>();
  private readonly delays = monitorEventLoopDelay({ resolution: resolutionMs });
  private loopDelayMs = 0;
  private timer: NodeJS.Timeout | undefined;

  onModuleInit(): void {
    this.delays.enable();
    this.timer = setInterval(() => this.look(), windowMs);
    this.timer.unref();
  }

  onModuleDestroy(): void {
    clearInterval(this.timer);
    this.delays.disable();
  }

  /** Counts a commit while it is under way. */
  async during<T>(commit: () => Promise<T>): Promise<T> {
    const waiting = { sinceMs: performance.now() };
    this.commits.add(waiting);
    try {
      return await commit();
    } finally {
      this.commits.delete(waiting);
    }
  }

  get now(): ProcessLoad {
    const [oldest] = this.commits;
    return {
      commitsWaiting: this.commits.size,
      oldestCommitMs: oldest === undefined ? 0 : performance.now() - oldest.sinceMs,
      loopDelayMs: this.loopDelayMs,
    };
  }

  private look(): void {
    const meanMs = this.delays.count === 0 ? 0 : this.delays.mean / nanosecondsPerMs;
    this.loopDelayMs = Math.max(0, meanMs - resolutionMs);
    this.delays.reset();
  }
}

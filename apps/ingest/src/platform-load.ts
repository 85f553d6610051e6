import type { ClaudeBacklog } from '@millrace/contracts';
import { Injectable } from '@nestjs/common';

/**
 * What was told longer ago says nothing: an idle worker is silent, and so is a Kafka that is away.
 * It is told every 10 s at the least while anything waits.
 */
const staleMs = 30_000;

/** The last that claude-worker told of its queue. */
@Injectable()
export class PlatformLoad {
  private told: { readonly backlog: ClaudeBacklog; readonly atMs: number } | null = null;

  /** By the time of arrival: clocks of machines differ. */
  tell(backlog: ClaudeBacklog, nowMs = performance.now()): void {
    this.told = { backlog, atMs: nowMs };
  }

  /** Null when nothing was told lately: then nothing is refused for it. */
  backlog(nowMs = performance.now()): ClaudeBacklog | null {
    if (this.told === null || nowMs - this.told.atMs > staleMs) return null;
    return this.told.backlog;
  }
}

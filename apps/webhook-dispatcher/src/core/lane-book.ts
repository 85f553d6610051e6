import { laneKeyOf, type Lane, type LaneSight } from './lane.ts';
import {
  laneAfter,
  memoryOf,
  type LaneAttempt,
  type LaneChange,
  type LaneMemory,
} from './lane-health.ts';
import type { LaneSignal } from './lane-signal.ts';

/** Lanes that a process remembers, some hundred bytes each; what it forgets its row still says. */
const lanesKeptMax = 20_000;

interface Entry {
  readonly memory: LaneMemory;
  /** Until when this process has closed it. */
  readonly closedUntilMs: number;
  /** Since when its row says so: whoever gives a delivery away after that knows better. */
  readonly closedSinceMs: number;
}

const open = { closedUntilMs: 0, closedSinceMs: 0 };

/** What a process remembers of the lanes that it sends to. */
export class LaneBook {
  private readonly entries = new Map<string, Entry>();

  /** As the row said it when a delivery was handed to us. */
  see(lane: Lane, sight: LaneSight): void {
    const before = this.entries.get(laneKeyOf(lane));
    const memory = memoryOf(sight, before?.memory);
    if (before !== undefined && sight.askedAtMs <= before.closedSinceMs) {
      return this.put(lane, { ...before, memory });
    }
    // It was closed, if ever, before; by now it is open, or this is its probe.
    const opened = { memory: { ...memory, openUntilMs: 0 }, closedUntilMs: 0 };
    this.put(lane, { ...opened, closedSinceMs: 0 });
  }

  /** What closed the lane here is in its row by now. */
  closed(lane: Lane, nowMs: number): void {
    const entry = this.entries.get(laneKeyOf(lane));
    if (entry !== undefined) this.put(lane, { ...entry, closedSinceMs: nowMs });
  }

  /** Whether this process has learned that nothing may be sent now. */
  isClosed(lane: Lane, nowMs: number): boolean {
    return (this.entries.get(laneKeyOf(lane))?.closedUntilMs ?? 0) > nowMs;
  }

  /** @returns what the lane's row becomes by an attempt; null when it stays. */
  after(lane: Lane, signal: LaneSignal | null, attempt: LaneAttempt): LaneChange | null {
    const entry = this.entries.get(laneKeyOf(lane));
    if (entry === undefined) return null;
    const { memory, change } = laneAfter(entry.memory, signal, attempt);
    if (change?.close != null) {
      const untilMs = attempt.nowMs + change.close.forMs;
      const closedUntilMs = Math.max(entry.closedUntilMs, untilMs);
      this.put(lane, { memory, closedUntilMs, closedSinceMs: Number.POSITIVE_INFINITY });
    } else {
      this.put(lane, { ...entry, memory, ...(change?.reopens === true ? open : {}) });
    }
    return change;
  }

  /** POSTs at once now; null for a lane that is not known. */
  capOf(lane: Lane): number | null {
    return this.entries.get(laneKeyOf(lane))?.memory.cap ?? null;
  }

  private put(lane: Lane, entry: Entry): void {
    const key = laneKeyOf(lane);
    // What was used last stands last, and the first is forgotten.
    this.entries.delete(key);
    this.entries.set(key, entry);
    if (this.entries.size <= lanesKeptMax) return;
    for (const [oldest] of this.entries) {
      this.entries.delete(oldest);
      return;
    }
  }
}

import type { LaneBook } from './core/lane-book.ts';
import type { LaneSlots } from './core/lane-slots.ts';
import { laneKeyOf, type Lane } from './core/lane.ts';

/**
 * How long a delivery waits for its turn in memory, in a slot of this process, before it goes back
 * to the table: a lane that answered just now and answers no more gives its slots back.
 */
const turnMsMax = 1_000;

interface Waiter {
  /** `false`: it gets no turn. */
  readonly resolve: (hasTurn: boolean) => void;
}

/** Makes deliveries of a lane wait for each other, so that no more are under way than its cap. */
export class LaneTurns {
  private readonly waiting = new Map<string, Set<Waiter>>();

  constructor(
    private readonly slots: LaneSlots,
    private readonly book: LaneBook,
  ) {}

  /** @returns whether a POST may begin now; one that does is followed by `end`. */
  async begin(lane: Lane, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted || this.book.isClosed(lane, Date.now())) return false;
    const hasTurn = this.slots.begin(lane) || (await this.wait(lane, signal));
    return hasTurn;
  }

  end(lane: Lane, { answered }: { answered: boolean }): void {
    this.slots.end(lane, { answered, nowMs: performance.now() });
    const waiters = this.waiting.get(laneKeyOf(lane));
    if (waiters === undefined) return;
    if (this.book.isClosed(lane, Date.now())) {
      for (const waiter of waiters) waiter.resolve(false);
      return;
    }
    for (const waiter of waiters) {
      if (!this.slots.begin(lane)) return;
      waiter.resolve(true);
    }
  }

  private wait(lane: Lane, signal: AbortSignal): Promise<boolean> {
    const key = laneKeyOf(lane);
    const waiters = this.waiting.get(key) ?? new Set<Waiter>();
    this.waiting.set(key, waiters);
    return new Promise((resolve) => {
      const waiter: Waiter = {
        resolve: (hasTurn) => {
          clearTimeout(timer);
          signal.removeEventListener('abort', giveUp);
          waiters.delete(waiter);
          if (waiters.size === 0) this.waiting.delete(key);
          resolve(hasTurn);
        },
      };
      const giveUp = (): void => waiter.resolve(false);
      const timer = setTimeout(giveUp, turnMsMax);
      signal.addEventListener('abort', giveUp, { once: true });
      waiters.add(waiter);
    });
  }
}

/**
 * Deliveries that one process sends at once to one origin of one tenant. A tenth of the process's
 * slots: a receiver that hangs holds these and no more, and the other receivers go on.
 */
export const inFlightPerOriginMax = 50;

export interface Lane {
  readonly tenant: string;
  readonly origin: string;
}

export interface BusyLane extends Lane {
  readonly inFlight: number;
}

/** Counts what is in flight by (tenant, origin), so that no origin takes all slots. */
export class OriginSlots {
  private readonly lanes = new Map<string, BusyLane>();

  constructor(readonly perOriginMax: number = inFlightPerOriginMax) {}

  take(lane: Lane): void {
    this.set(lane, this.inFlight(lane) + 1);
  }

  /** @returns whether the lane was full until now, so that its waiting rows may move up. */
  release(lane: Lane): boolean {
    const inFlight = this.inFlight(lane);
    if (inFlight <= 1) this.lanes.delete(keyOf(lane));
    else this.set(lane, inFlight - 1);
    return inFlight >= this.perOriginMax;
  }

  /** Rooms that may be given out now, for deliveries that start a moment later. */
  plan(): { take(lane: Lane): boolean } {
    const planned = new OriginSlots(this.perOriginMax);
    return {
      take: (lane) => {
        const room = this.inFlight(lane) + planned.inFlight(lane) < this.perOriginMax;
        if (room) planned.take(lane);
        return room;
      },
    };
  }

  busy(): BusyLane[] {
    return [...this.lanes.values()];
  }

  private set({ tenant, origin }: Lane, inFlight: number): void {
    this.lanes.set(keyOf({ tenant, origin }), { tenant, origin, inFlight });
  }

  private inFlight(lane: Lane): number {
    return this.lanes.get(keyOf(lane))?.inFlight ?? 0;
  }
}

function keyOf({ tenant, origin }: Lane): string {
  return `${tenant} ${origin}`;
}

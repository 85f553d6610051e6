export interface OriginLimits {
  /** Deliveries that one process sends at once to one origin of one tenant. */
  readonly inFlightMax: number;
  /** The same for an origin that has answered just now. */
  readonly inFlightLivelyMax: number;
  /** How long an answer counts as just now. */
  readonly livelyMs: number;
}

/**
 * A receiver that hangs holds a tenth of the default 500 slots and no more, and the others go on.
 * One that answers gives its slots back at once, so that it may have half of them.
 */
export const originLimitsDefault: OriginLimits = {
  inFlightMax: 50,
  inFlightLivelyMax: 250,
  livelyMs: 1_000,
};

export interface Lane {
  readonly tenant: string;
  readonly origin: string;
}

export interface BusyLane extends Lane {
  /** Deliveries that may be sent to it beside those under way. */
  readonly room: number;
}

interface LaneState extends Lane {
  readonly inFlight: number;
  readonly answeredAtMs: number;
}

/** Counts what is in flight by (tenant, origin), so that no origin takes all slots. */
export class OriginSlots {
  private readonly lanes = new Map<string, LaneState>();

  readonly limits: OriginLimits;

  constructor(limits: OriginLimits = originLimitsDefault) {
    this.limits = limits;
  }

  take(lane: Lane): void {
    const state = this.stateOf(lane);
    this.lanes.set(keyOf(lane), { ...state, inFlight: state.inFlight + 1 });
  }

  /** @returns whether the lane was full until now, so that its waiting rows may move up. */
  release(lane: Lane, end: { readonly answered: boolean; readonly nowMs: number }): boolean {
    const before = this.stateOf(lane);
    const wasFull = this.roomOf(before, end.nowMs) <= 0;
    const answeredAtMs = end.answered ? end.nowMs : before.answeredAtMs;
    const inFlight = before.inFlight - 1;
    if (inFlight <= 0) this.lanes.delete(keyOf(lane));
    else this.lanes.set(keyOf(lane), { ...before, inFlight, answeredAtMs });
    return wasFull;
  }

  /** Rooms that may be given out now, for deliveries that start a moment later. */
  plan(nowMs: number): { take(lane: Lane): boolean } {
    const planned = new Map<string, number>();
    return {
      take: (lane) => {
        const taken = planned.get(keyOf(lane)) ?? 0;
        const hasRoom = taken < this.roomOf(this.stateOf(lane), nowMs);
        if (hasRoom) planned.set(keyOf(lane), taken + 1);
        return hasRoom;
      },
    };
  }

  busy(nowMs: number): BusyLane[] {
    return [...this.lanes.values()].map((state) => ({
      tenant: state.tenant,
      origin: state.origin,
      room: this.roomOf(state, nowMs),
    }));
  }

  private stateOf(lane: Lane): LaneState {
    const { tenant, origin } = lane;
    const never = { tenant, origin, inFlight: 0, answeredAtMs: Number.NEGATIVE_INFINITY };
    return this.lanes.get(keyOf(lane)) ?? never;
  }

  private roomOf({ inFlight, answeredAtMs }: LaneState, nowMs: number): number {
    const { inFlightMax, inFlightLivelyMax, livelyMs } = this.limits;
    const isLively = nowMs - answeredAtMs <= livelyMs;
    return Math.max(0, (isLively ? inFlightLivelyMax : inFlightMax) - inFlight);
  }
}

function keyOf({ tenant, origin }: Lane): string {
  return `${tenant} ${origin}`;
}

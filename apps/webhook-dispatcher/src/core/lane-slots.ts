import { laneCapDefault, laneKeyOf, type Lane } from './lane.ts';

/**
 * Who may have how many of a process's slots. All times are of one monotonic clock.
 *
 * L1 No more POSTs of a lane are under way than its cap says.
 * L2 A lane that hangs holds as many slots as its cap says; one that answers may hold some more, of
 *    deliveries that wait here for their turn, so that the next POST begins when one ends.
 * L3 All lanes of one tenant together hold a share of the slots.
 * L4 A lane with a rate gets no more deliveries than its bucket has tokens.
 * L5 Of a lane that was given all that it had room for, more is waiting, until a claim brings less.
 *    New deliveries do not overtake those, and the next claim is wanted as soon as it is worth it.
 */

/** Share of a process's slots that one tenant may hold. */
export const tenantShare = 0.25;
/**
 * Deliveries of a lane that may wait for their turn in memory: they hold slots that do nothing. Two
 * claims a fifth of a second long keep a lane busy that takes a thousand a second.
 */
export const aheadMax = 200;
/** Half of what it answered within the last second: so long does the last of them wait at most. */
const aheadShare = 0.5;
const answersMs = 1_000;

/** A lane or tenant wants a claim when this share of what it may hold ahead is free. */
const roomShareWorth = 0.5;

/** The lane as far as its slots are concerned. */
export interface LaneTerms {
  readonly cap: number;
  readonly ratePerSecond: number | null;
}

export interface BusyLane extends Lane {
  /** Deliveries that it may be given beside those that it holds. */
  readonly room: number;
}

export interface CrowdedTenant {
  readonly tenant: string;
  readonly room: number;
}

/** What a claim was told, and is to be compared with what it brought. */
export interface Rooms {
  /** Every lane that is not as one that nobody has used. */
  readonly busy: readonly BusyLane[];
  /** Every tenant that holds slots. */
  readonly crowded: readonly CrowdedTenant[];
}

interface LaneState extends Lane {
  terms: LaneTerms;
  /** Slots that it holds. */
  held: number;
  /** More of it is waiting than it had room for (L5). */
  wants: boolean;
  /** POSTs under way. */
  sending: number;
  /** Answers of this second and of the one before, for its pace. */
  answers: number;
  answersBefore: number;
  answersSinceMs: number;
  tokens: number;
  tokensAtMs: number;
}

export interface LaneSlotsOptions {
  readonly slotsMax: number;
  readonly tenantShare?: number;
}

export class LaneSlots {
  /** Slots that one tenant may hold. */
  readonly tenantMax: number;
  private readonly lanes = new Map<string, LaneState>();
  private readonly tenants = new Map<string, number>();
  /** Tenants of which more is waiting than they had room for. */
  private readonly wanting = new Set<string>();

  constructor(options: LaneSlotsOptions) {
    const share = options.tenantShare ?? tenantShare;
    this.tenantMax = Math.max(1, Math.floor(options.slotsMax * share));
  }

  /** Rooms that may be given out now, for deliveries that are handed over a moment later. */
  plan(nowMs: number): { take(lane: Lane, terms: LaneTerms): boolean } {
    const planned = new Map<string, number>();
    const tenants = new Map<string, number>();
    return {
      take: (lane, terms) => {
        const key = laneKeyOf(lane);
        const state = this.lanes.get(key) ?? newLane(lane, terms, nowMs);
        const taken = planned.get(key) ?? 0;
        const taking = tenants.get(lane.tenant) ?? 0;
        if (taking >= this.tenantRoom(lane.tenant)) this.wanting.add(lane.tenant);
        if (taken >= roomOf(state, nowMs)) this.stateOf(lane, terms, nowMs).wants = true;
        if (this.isWanting(lane)) return false;
        planned.set(key, taken + 1);
        tenants.set(lane.tenant, taking + 1);
        return true;
      },
    };
  }

  /** A delivery of the lane was handed over. */
  hold(lane: Lane, terms: LaneTerms, nowMs: number): void {
    const state = this.stateOf(lane, terms, nowMs);
    refill(state, nowMs);
    state.terms = terms;
    state.held += 1;
    state.tokens -= 1;
    this.tenants.set(lane.tenant, (this.tenants.get(lane.tenant) ?? 0) + 1);
  }

  /** A claim that was told these rooms has brought these deliveries, none of which is held yet. */
  brought(
    { busy, crowded }: Rooms,
    deliveries: readonly (Lane & { readonly terms: LaneTerms })[],
    nowMs: number,
  ): void {
    const ofLane = Map.groupBy(deliveries, laneKeyOf);
    const rooms = new Map(busy.map((lane) => [laneKeyOf(lane), lane.room]));
    for (const [key, room] of rooms) {
      const state = this.lanes.get(key);
      if (state !== undefined) state.wants = (ofLane.get(key)?.length ?? 0) >= room;
    }
    for (const [key, [first, ...others]] of ofLane) {
      if (first === undefined || rooms.has(key)) continue;
      const state = this.stateOf(first, first.terms, nowMs);
      state.wants = 1 + others.length >= roomOf(state, nowMs);
    }
    const ofTenant = Map.groupBy(deliveries, ({ tenant }) => tenant);
    const tenantRooms = new Map(crowded.map(({ tenant, room }) => [tenant, room]));
    for (const tenant of new Set([...this.wanting, ...ofTenant.keys()])) {
      const room = tenantRooms.get(tenant) ?? this.tenantMax;
      if ((ofTenant.get(tenant)?.length ?? 0) >= room) this.wanting.add(tenant);
      else this.wanting.delete(tenant);
    }
  }

  /** @returns whether more is waiting (L5) that a claim would now be worth. */
  letGo(lane: Lane, nowMs: number): boolean {
    const state = this.lanes.get(laneKeyOf(lane));
    if (state === undefined) return false;
    state.held -= 1;
    const left = (this.tenants.get(lane.tenant) ?? 1) - 1;
    if (left <= 0) this.tenants.delete(lane.tenant);
    else this.tenants.set(lane.tenant, left);
    const room = Math.min(roomOf(state, nowMs), this.tenantRoom(lane.tenant));
    if (room <= 0 || !this.isWanting(lane)) return false;
    const ahead = Math.min(aheadOf(state, nowMs), this.tenantMax - state.terms.cap);
    return room >= ahead * roomShareWorth;
  }

  /** @returns whether a POST may begin now (L1). */
  begin(lane: Lane): boolean {
    const state = this.lanes.get(laneKeyOf(lane));
    if (state === undefined || state.sending >= state.terms.cap) return false;
    state.sending += 1;
    return true;
  }

  end(lane: Lane, { answered, nowMs }: { answered: boolean; nowMs: number }): void {
    const state = this.lanes.get(laneKeyOf(lane));
    if (state === undefined) return;
    state.sending -= 1;
    if (!answered) return;
    turnPage(state, nowMs);
    state.answers += 1;
  }

  /** The cap has changed while deliveries are under way. */
  setCap(lane: Lane, cap: number): void {
    const state = this.lanes.get(laneKeyOf(lane));
    if (state !== undefined) state.terms = { ...state.terms, cap };
  }

  /** The room of every lane that is not as one that nobody has used. */
  busy(nowMs: number): BusyLane[] {
    const busy: BusyLane[] = [];
    for (const [key, state] of this.lanes) {
      if (isIdle(state, nowMs)) this.lanes.delete(key);
      else {
        const { tenant, origin } = state;
        busy.push({ tenant, origin, room: Math.max(0, roomOf(state, nowMs)) });
      }
    }
    return busy;
  }

  /** The room of every tenant that holds slots. */
  crowded(): CrowdedTenant[] {
    return [...this.tenants.keys()].map((tenant) => ({ tenant, room: this.tenantRoom(tenant) }));
  }

  /** Until a lane that its rate holds back may be given one more; null when none is. */
  nextTokenInMs(nowMs: number): number | null {
    let soonest: number | null = null;
    for (const state of this.lanes.values()) {
      const { ratePerSecond } = state.terms;
      if (ratePerSecond === null || state.held >= state.terms.cap) continue;
      refill(state, nowMs);
      if (state.tokens >= 1) continue;
      const inMs = ((1 - state.tokens) / ratePerSecond) * 1_000;
      soonest = Math.min(soonest ?? inMs, inMs);
    }
    return soonest;
  }

  private isWanting(lane: Lane): boolean {
    return this.wanting.has(lane.tenant) || this.lanes.get(laneKeyOf(lane))?.wants === true;
  }

  private tenantRoom(tenant: string): number {
    return Math.max(0, this.tenantMax - (this.tenants.get(tenant) ?? 0));
  }

  private stateOf(lane: Lane, terms: LaneTerms, nowMs: number): LaneState {
    const key = laneKeyOf(lane);
    const known = this.lanes.get(key);
    if (known !== undefined) return known;
    const made = newLane(lane, terms, nowMs);
    this.lanes.set(key, made);
    return made;
  }
}

export const defaultTerms: LaneTerms = { cap: laneCapDefault, ratePerSecond: null };

function newLane({ tenant, origin }: Lane, terms: LaneTerms, nowMs: number): LaneState {
  return {
    tenant,
    origin,
    terms,
    held: 0,
    wants: false,
    sending: 0,
    answers: 0,
    answersBefore: 0,
    answersSinceMs: nowMs,
    tokens: burstOf(terms),
    tokensAtMs: nowMs,
  };
}

function roomOf(state: LaneState, nowMs: number): number {
  const { cap, ratePerSecond } = state.terms;
  if (ratePerSecond !== null) {
    refill(state, nowMs);
    return Math.min(cap - state.held, Math.floor(state.tokens));
  }
  return cap + aheadOf(state, nowMs) - state.held;
}

/** What a lane may hold above its cap: none where a rate decides. */
function aheadOf(state: LaneState, nowMs: number): number {
  if (state.terms.ratePerSecond !== null) return 0;
  turnPage(state, nowMs);
  const passed = (nowMs - state.answersSinceMs) / answersMs;
  const pace = state.answers + state.answersBefore * Math.max(0, 1 - passed);
  return Math.min(aheadMax, Math.floor(pace * aheadShare));
}

/** A second's worth, and one at least. */
function burstOf({ ratePerSecond }: LaneTerms): number {
  return ratePerSecond === null ? 0 : Math.max(1, ratePerSecond);
}

function refill(state: LaneState, nowMs: number): void {
  const { ratePerSecond } = state.terms;
  if (ratePerSecond === null) {
    state.tokens = 0;
  } else {
    const passedMs = Math.max(0, nowMs - state.tokensAtMs);
    const more = (passedMs / 1_000) * ratePerSecond;
    state.tokens = Math.min(burstOf(state.terms), state.tokens + more);
  }
  state.tokensAtMs = nowMs;
}

function turnPage(state: LaneState, nowMs: number): void {
  const passedMs = nowMs - state.answersSinceMs;
  if (passedMs < answersMs) return;
  state.answersBefore = passedMs < 2 * answersMs ? state.answers : 0;
  state.answers = 0;
  state.answersSinceMs = nowMs;
}

/** Nothing of it would be missed: it holds no slot, its pace is forgotten, its bucket is full. */
function isIdle(state: LaneState, nowMs: number): boolean {
  if (state.held > 0 || state.wants) return false;
  refill(state, nowMs);
  turnPage(state, nowMs);
  const hasPace = state.answers > 0 || state.answersBefore > 0;
  return !hasPace && state.tokens >= burstOf(state.terms);
}

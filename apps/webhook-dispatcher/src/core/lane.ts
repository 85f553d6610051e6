/** What is isolated: an endpoint of a tenant, or the origin of its callback URLs. */
export interface Lane {
  readonly tenant: string;
  /** An endpoint's id, or scheme, host and port. */
  readonly origin: string;
}

/**
 * POSTs at once to an origin of callbacks: the most that an endpoint may ask for, as nobody can ask
 * for an origin, and 10 of a receiver that answers in 10 ms are a thousand a second and no more.
 * An endpoint says its own number (1 to 50, 10 when it says none).
 */
export const laneCapDefault = 50;

/** A lane as its row and its endpoint's said when one of its deliveries was handed to us. */
export interface LaneSight {
  /** When the statement that handed it over was sent: what was written later it did not see. */
  readonly askedAtMs: number;
  /** POSTs at once when all is well. */
  readonly fullCap: number;
  /** POSTs at once now, after signs of overload. */
  readonly cap: number;
  readonly ratePerSecond: number | null;
  /** How often in a row its breaker has opened. */
  readonly opened: number;
  /** This delivery is the one that may try while the breaker is open. */
  readonly isProbe: boolean;
  /** Something has failed since its last 2xx. */
  readonly isFailing: boolean;
  readonly timeoutsInARow: number;
  readonly blockedInARow: number;
  readonly lastSuccessAtMs: number | null;
}

/** A lane without a row. */
export const healthyLane: LaneSight = {
  askedAtMs: 0,
  fullCap: laneCapDefault,
  cap: laneCapDefault,
  ratePerSecond: null,
  opened: 0,
  isProbe: false,
  isFailing: false,
  timeoutsInARow: 0,
  blockedInARow: 0,
  lastSuccessAtMs: null,
};

/** As a key of maps: no tenant's name has a blank. */
export function laneKeyOf({ tenant, origin }: Lane): string {
  return `${tenant} ${origin}`;
}

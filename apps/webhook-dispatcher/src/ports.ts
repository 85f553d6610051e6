import type { JobDeliveriesQuery, JobDelivery, TenantChanged } from '@millrace/contracts';
import type { PostRequest, PostResult, SigningKeys } from '@millrace/egress';
import type { RefusedSecrets } from '@millrace/postgres';
import type { BusyLane, Claimed, ReleaseUnheld } from '@millrace/work';

import type { Delivery, NewDelivery } from './core/delivery.ts';
import type { Outcome } from './core/outcome.ts';

export interface ClaimOptions {
  readonly owner: string;
  readonly limit: number;
  /** The room that is left at origins to which this process sends already. */
  readonly busy: readonly BusyLane[];
  /** The room at every other origin. */
  readonly roomElsewhere: number;
}

export interface DeliveryRedrive {
  /** As its record asks for it again. */
  readonly delivery: NewDelivery;
  /** What asked for it. */
  readonly cause: string;
}

/** The table of deliveries. */
export abstract class Deliveries {
  /** Says of each whether it is new; a rejection is a BadRowError or lost infrastructure. */
  abstract insert(deliveries: readonly NewDelivery[]): Promise<PromiseSettledResult<boolean>[]>;
  /**
   * Gives dead deliveries a new schedule of attempts, under the same id and with the same bytes.
   * Others stay as they are, and so do those that the same cause woke before.
   */
  abstract redrive(redrives: readonly DeliveryRedrive[]): Promise<void>;
  abstract claim(options: ClaimOptions): Promise<Claimed<Delivery>>;
  abstract settle(delivery: Delivery, outcome: Outcome): Promise<void>;
  /** Frees what dead processes held and says how much that was. */
  abstract reap(deadOwners: readonly string[]): Promise<number>;
  /** Puts back what `owner` was given longer ago than `ageMs` and does not hold; says how much. */
  abstract releaseUnheld(options: ReleaseUnheld): Promise<number>;
  /** How many wait for a slot or for their time, counted up to a bound. */
  abstract countWaiting(): Promise<number>;
}

/** What became of the webhooks of a job. */
export abstract class DeliveryHistory {
  abstract ofJob(job: JobDeliveriesQuery): Promise<JobDelivery[]>;
}

export abstract class Tenants {
  /** @returns null while the tenant is not known here yet. */
  abstract signingKeysOf(tenant: string): Promise<readonly SigningKeys[] | null>;
  abstract put(changed: readonly TenantChanged[]): Promise<readonly RefusedSecrets[]>;
}

/** The way out to receivers. */
export abstract class Courier {
  abstract post(request: PostRequest): Promise<PostResult>;
}

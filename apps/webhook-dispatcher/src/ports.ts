import type {
  DisabledReason,
  JobDeliveriesQuery,
  JobDelivery,
  OutgoingMessage,
  TenantChanged,
} from '@millrace/contracts';
import type { PostRequest, PostResult, SigningKeys } from '@millrace/egress';
import type { RefusedSecrets } from '@millrace/postgres';
import type { Claimed, ReleaseUnheld } from '@millrace/work';

import type { Delivery, NewDelivery } from './core/delivery.ts';
import type { SettledLane } from './core/disable-policy.ts';
import type { Endpoint } from './core/endpoint.ts';
import type { LaneChange } from './core/lane-health.ts';
import type { BusyLane, CrowdedTenant } from './core/lane-slots.ts';
import type { LaneSight } from './core/lane.ts';
import type { Outcome } from './core/outcome.ts';

export interface ClaimOptions {
  readonly owner: string;
  readonly limit: number;
  /** The room that is left in lanes to which this process sends already. */
  readonly busy: readonly BusyLane[];
  /** The room of tenants that hold slots here. */
  readonly crowded: readonly CrowdedTenant[];
  /** The room of every other tenant. */
  readonly tenantMax: number;
}

export interface DeliveryRedrive {
  /** As its record asks for it again. */
  readonly delivery: NewDelivery;
  /** What asked for it. */
  readonly cause: string;
}

/** What became of a delivery that was inserted. */
export type Inserted =
  /** There is one of its id already. */
  | { readonly kind: 'known' }
  /** It waits, or is kept unsent. */
  | { readonly kind: 'left' }
  | { readonly kind: 'ours'; readonly sight: LaneSight };

/** An attempt's end, as the work queue hands it back. */
export interface Ending {
  readonly outcome: Outcome;
  /** What its lane becomes; null when it stays. */
  readonly lane: LaneChange | null;
  /** What the tenant is told of it; null when nothing. */
  readonly notice: OutgoingMessage | null;
}

export interface Settlement extends Ending {
  readonly delivery: Delivery;
}

/** The table of deliveries. */
export abstract class Deliveries {
  /** A rejection is a BadRowError or lost infrastructure. */
  abstract insert(deliveries: readonly NewDelivery[]): Promise<PromiseSettledResult<Inserted>[]>;
  /**
   * Gives dead deliveries a new schedule of attempts, under the same id and with the same bytes.
   * Others stay as they are, and so do those that the same cause woke before.
   */
  abstract redrive(redrives: readonly DeliveryRedrive[]): Promise<void>;
  abstract claim(options: ClaimOptions): Promise<Claimed<Delivery>>;
  /** @returns the lane as it is now, when the attempt has changed it. */
  abstract settle(settlement: Settlement): Promise<SettledLane | null>;
  /** Frees what dead processes held and says how much that was. */
  abstract reap(deadOwners: readonly string[]): Promise<number>;
  /** Puts back what `owner` was given longer ago than `ageMs` and does not hold; says how much. */
  abstract releaseUnheld(options: ReleaseUnheld): Promise<number>;
  /** How many wait for a slot or for their time, counted up to a bound. */
  abstract countWaiting(): Promise<number>;
}

export interface EndpointName {
  readonly tenant: string;
  readonly id: string;
}

export interface EndpointEnd extends EndpointName {
  readonly reason: DisabledReason;
  readonly notice: OutgoingMessage;
}

/** The registered receivers, read by sending and changed by what they answer. */
export abstract class Endpoints {
  /** All that are not deleted, as they were two seconds ago at the earliest. */
  abstract ofTenants(tenants: readonly string[]): Promise<ReadonlyMap<string, readonly Endpoint[]>>;
  /** @returns null for one that was deleted. */
  abstract find(name: EndpointName): Promise<Endpoint | null>;
  /** Closes its lane, keeps what waits, and tells its tenant; nothing when that was done before. */
  abstract disable(end: EndpointEnd): Promise<void>;
  /** Tells its tenant that it fails, once until its next 2xx. */
  abstract tellFailing(name: EndpointName, notice: OutgoingMessage): Promise<void>;
}

/** What keeps lanes right whatever happened to those who changed them. */
export abstract class LaneUpkeep {
  /** @returns how many lanes had deliveries that nobody would have looked for. */
  abstract wakeForgotten(): Promise<number>;
  /** Ends what still waits at disabled and deleted endpoints; says how much that was. */
  abstract endUnsendable(): Promise<number>;
  /** Deletes rows of lanes that nobody has used for days. */
  abstract forgetUnused(): Promise<number>;
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

import type {
  DeliveryAttemptView,
  DeliveryId,
  DeliveryView,
  EndpointId,
} from '@millrace/contracts';

import type { DeliveryCursor, DeliveryQuery, ReplayQuery } from './core/delivery-query.ts';
import type { EndpointState, RegisteredEndpoint } from './core/registered-endpoint.ts';

/** What a change of an endpoint does to its lane. */
export type LaneEffect = 'none' | 'close' | 'open' | 'forgive';

export interface NewEndpoint {
  readonly tenant: string;
  readonly id: EndpointId;
  readonly state: EndpointState;
}

/** The registered endpoints of one tenant at a time. */
export abstract class EndpointRegistry {
  /** Null when the tenant has as many as it may have. */
  abstract create(endpoint: NewEndpoint): Promise<RegisteredEndpoint | null>;
  abstract get(tenant: string, id: EndpointId): Promise<RegisteredEndpoint | null>;
  /** Newest first, after the one named. */
  abstract list(
    tenant: string,
    page: { readonly after: EndpointId | null; readonly limit: number },
  ): Promise<RegisteredEndpoint[]>;
  /** Null when it is not any more what was read. */
  abstract change(
    known: RegisteredEndpoint,
    state: EndpointState,
    lane: LaneEffect,
  ): Promise<RegisteredEndpoint | null>;
  /** False when there is none. */
  abstract remove(tenant: string, id: EndpointId): Promise<boolean>;
}

export interface DeliveryPage {
  readonly deliveries: readonly DeliveryView[];
  /** Where the next page begins. */
  readonly next: DeliveryCursor | null;
}

export interface Replayed {
  readonly count: number;
  readonly more: boolean;
  readonly until: Date;
}

/** What became of the wish to send one delivery again. */
export type ReplayOutcome =
  | { readonly kind: 'replayed'; readonly delivery: DeliveryView }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'under_way' }
  | { readonly kind: 'endpoint_deleted' }
  | { readonly kind: 'endpoint_disabled' };

/** A webhook that no event caused. */
export interface PingDelivery {
  readonly tenant: string;
  readonly id: DeliveryId;
  readonly endpoint: EndpointId;
  readonly url: string;
  readonly body: Buffer;
  readonly traceHeaders: Readonly<Record<string, string>>;
}

/** The deliveries of one tenant at a time. */
export abstract class TenantDeliveries {
  abstract list(tenant: string, query: DeliveryQuery): Promise<DeliveryPage>;
  abstract get(tenant: string, id: DeliveryId): Promise<DeliveryView | null>;
  /** Oldest first; null when there is no such delivery. */
  abstract attempts(tenant: string, id: DeliveryId): Promise<DeliveryAttemptView[] | null>;
  abstract replay(tenant: string, id: DeliveryId): Promise<ReplayOutcome>;
  abstract replayAll(tenant: string, query: ReplayQuery): Promise<Replayed>;
  abstract ping(delivery: PingDelivery): Promise<void>;
}

/** The queue that sends: told when something waits that did not. */
export abstract class QueueWaker {
  abstract wake(): void;
}

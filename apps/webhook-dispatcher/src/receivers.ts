import type { SigningKeys } from '@millrace/egress';

import type { Delivery } from './core/delivery.ts';
import { liveKeys } from './core/endpoint.ts';
import { isToEndpoint, type EndpointDelivery } from './core/notice.ts';
import type { Endpoints, Tenants } from './ports.ts';

/** Whom a delivery goes to, as things are now. */
export type Receiver =
  | {
      readonly kind: 'ready';
      readonly url: string;
      /** Newest first, at least one. */
      readonly keys: readonly SigningKeys[];
      readonly extra: Readonly<Record<string, string>>;
      /** Null: the service's own. */
      readonly timeoutMs: number | null;
      readonly scheduleMs: readonly number[] | null;
    }
  | { readonly kind: 'deleted' }
  /** It was paused or disabled a moment ago. */
  | { readonly kind: 'closed' }
  /** The tenant's secrets have not arrived. */
  | { readonly kind: 'unknown' }
  /** Secrets that cannot be read here now. */
  | { readonly kind: 'unavailable' };

/** Looks receivers up: an endpoint by its name, a callback by its delivery and its tenant. */
export class Receivers {
  constructor(
    private readonly tenants: Tenants,
    private readonly endpoints: Endpoints,
  ) {}

  /** @throws when the database is away and nothing is remembered. */
  async of(delivery: Delivery, nowMs: number): Promise<Receiver> {
    if (isToEndpoint(delivery)) return this.endpointOf(delivery, nowMs);
    const keys = await this.tenants.signingKeysOf(delivery.tenant);
    if (keys === null) return { kind: 'unknown' };
    return {
      kind: 'ready',
      url: delivery.url,
      keys,
      extra: {},
      timeoutMs: null,
      scheduleMs: null,
    };
  }

  private async endpointOf(delivery: EndpointDelivery, nowMs: number): Promise<Receiver> {
    const { endpoint: id, tenant } = delivery;
    const endpoint = await this.endpoints.find({ tenant, id });
    if (endpoint === null) return { kind: 'deleted' };
    if (endpoint.status !== 'enabled') return { kind: 'closed' };
    const { scheduleMs, secrets, timeoutMs, url } = endpoint;
    const keys = secrets === null ? [] : liveKeys(secrets, nowMs);
    if (secrets === null || keys.length === 0) return { kind: 'unavailable' };
    return { kind: 'ready', url, keys, extra: secrets.headers, timeoutMs, scheduleMs };
  }
}

import type { SigningKeys } from '@millrace/egress/core';

/** A registered receiver of a tenant's webhooks, as far as sending needs it. */
export interface Endpoint {
  readonly tenant: string;
  readonly id: string;
  readonly url: string;
  /** Those that it wants; none means all. */
  readonly eventTypes: readonly string[];
  readonly payload: 'full' | 'thin';
  readonly status: 'enabled' | 'paused' | 'disabled';
  readonly inFlightMax: number;
  readonly ratePerSecond: number | null;
  readonly timeoutMs: number;
  /** Null: the service's own. */
  readonly scheduleMs: readonly number[] | null;
  /** What must stay secret; null while it cannot be opened here. */
  readonly secrets: EndpointSecrets | null;
}

export interface EndpointSecrets {
  readonly headers: Readonly<Record<string, string>>;
  /** Newest first. */
  readonly signing: readonly SigningSecret[];
}

export interface SigningSecret {
  readonly keys: SigningKeys;
  /** When it stops signing; null for the newest. */
  readonly expiresAtMs: number | null;
}

export function wants(endpoint: Endpoint, eventType: string): boolean {
  return endpoint.eventTypes.length === 0 || endpoint.eventTypes.includes(eventType);
}

export function liveKeys(secrets: EndpointSecrets, nowMs: number): SigningKeys[] {
  return secrets.signing
    .filter(({ expiresAtMs }) => expiresAtMs === null || expiresAtMs > nowMs)
    .map(({ keys }) => keys);
}

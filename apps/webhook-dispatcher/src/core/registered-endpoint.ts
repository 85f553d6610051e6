import {
  invalidRequest,
  liveSecrets,
  ProblemError,
  type DisabledReason,
  type EndpointId,
  type FieldError,
  type SigningSecret,
  type WebhookEndpointChange,
  type WebhookEndpointHealth,
  type WebhookEndpointStatus,
  type WebhookEndpointSubmission,
  type WebhookEndpointView,
  type WebhookEventType,
} from '@millrace/contracts';
import { userHeaderError, withoutValues } from '@millrace/egress/core';

/** What a tenant says of a receiver. */
export interface EndpointSettings {
  readonly url: string;
  readonly description: string;
  /** None means all. */
  readonly eventTypes: readonly WebhookEventType[];
  readonly payload: 'full' | 'thin';
  readonly headers: Readonly<Record<string, string>>;
  readonly ratePerSecond: number | null;
  readonly inFlightMax: number;
  readonly timeoutMs: number;
  /** Milliseconds before each attempt; null: as the service is configured. */
  readonly scheduleMs: readonly number[] | null;
}

/** What may be changed of an endpoint, whoever changes it. */
export interface EndpointState extends EndpointSettings {
  /** Newest first, at least one. */
  readonly secrets: readonly SigningSecret[];
  readonly status: WebhookEndpointStatus;
  readonly disabledReason: DisabledReason | null;
}

/** An endpoint as its row says. */
export interface RegisteredEndpoint extends EndpointState {
  readonly tenant: string;
  readonly id: EndpointId;
  readonly statusChangedAt: Date;
  readonly version: number;
  readonly createdAt: Date;
  readonly changedAt: Date;
  readonly health: WebhookEndpointHealth;
}

/** What is wrong with a URL; null for nothing. */
export type UrlError = (url: string) => string | null;

/** Headers of one endpoint, after changes too. */
const headersMax = 16;

/** @throws ProblemError that lists what is wrong. */
export function settingsOf(given: WebhookEndpointSubmission, urlError: UrlError): EndpointSettings {
  const settings: EndpointSettings = {
    url: given.url,
    description: given.description,
    eventTypes: given.event_types,
    payload: given.payload,
    headers: given.headers,
    ratePerSecond: given.rate_per_second,
    inFlightMax: given.in_flight_max,
    timeoutMs: given.timeout_seconds * 1_000,
    scheduleMs: scheduleMsOf(given.retry_schedule_seconds),
  };
  check(settings.url, given.headers, urlError);
  return settings;
}

/**
 * The endpoint with what a change names.
 * @throws ProblemError that lists what is wrong, or `changed_meanwhile`.
 */
export function changedEndpoint(
  known: RegisteredEndpoint,
  change: WebhookEndpointChange,
  urlError: UrlError,
): EndpointState {
  if (change.version !== undefined && change.version !== known.version) {
    const detail = `it has version ${known.version} by now, not ${change.version}`;
    throw new ProblemError('changed_meanwhile', detail);
  }
  const headers = changedHeaders(known.headers, change.headers ?? {});
  const given = Object.fromEntries(
    Object.entries(headers).filter(([name]) => change.headers?.[name] !== undefined),
  );
  check(change.url, given, urlError);
  if (Object.keys(headers).length > headersMax) {
    throw invalidRequest([{ path: 'headers', message: `at most ${headersMax} headers` }]);
  }
  const { retry_schedule_seconds: schedule, timeout_seconds: timeout } = change;
  return {
    ...known,
    url: change.url ?? known.url,
    description: change.description ?? known.description,
    eventTypes: change.event_types ?? known.eventTypes,
    payload: change.payload ?? known.payload,
    headers,
    ratePerSecond:
      change.rate_per_second === undefined ? known.ratePerSecond : change.rate_per_second,
    inFlightMax: change.in_flight_max ?? known.inFlightMax,
    timeoutMs: timeout === undefined ? known.timeoutMs : timeout * 1_000,
    scheduleMs: schedule === undefined ? known.scheduleMs : scheduleMsOf(schedule),
  };
}

/**
 * Its deliveries wait from now on; null when they do already.
 * @throws ProblemError for one that is disabled: they are not even made ready to be sent.
 */
export function pausedEndpoint(known: RegisteredEndpoint): EndpointState | null {
  if (known.status === 'disabled') throw isDisabled();
  return known.status === 'paused' ? null : { ...known, status: 'paused' };
}

/**
 * What waited goes out; null when nothing waits.
 * @throws ProblemError for one that is disabled: enabling it is another decision.
 */
export function resumedEndpoint(known: RegisteredEndpoint): EndpointState | null {
  if (known.status === 'disabled') throw isDisabled();
  return known.status === 'enabled' ? null : { ...known, status: 'enabled' };
}

/** Whatever stopped it; null when nothing does. */
export function enabledEndpoint(known: RegisteredEndpoint): EndpointState | null {
  if (known.status === 'enabled') return null;
  return { ...known, status: 'enabled', disabledReason: null };
}

/** An endpoint as the API shows it: all but its secrets. */
export function viewOf(endpoint: RegisteredEndpoint, nowMs: number): WebhookEndpointView {
  return {
    id: endpoint.id,
    url: endpoint.url,
    description: endpoint.description,
    event_types: [...endpoint.eventTypes],
    payload: endpoint.payload,
    headers: withoutValues(endpoint.headers),
    rate_per_second: endpoint.ratePerSecond,
    in_flight_max: endpoint.inFlightMax,
    timeout_seconds: endpoint.timeoutMs / 1_000,
    retry_schedule_seconds: endpoint.scheduleMs?.map((waitMs) => waitMs / 1_000) ?? null,
    status: endpoint.status,
    disabled_reason: endpoint.disabledReason,
    status_changed_at: endpoint.statusChangedAt.toISOString(),
    health: endpoint.health,
    secrets: liveSecrets(endpoint.secrets, nowMs).map(({ created_at, expires_at }) => ({
      created_at: created_at ?? endpoint.createdAt.toISOString(),
      expires_at,
    })),
    version: endpoint.version,
    created_at: endpoint.createdAt.toISOString(),
    changed_at: endpoint.changedAt.toISOString(),
  };
}

function scheduleMsOf(seconds: readonly number[] | null): number[] | null {
  return seconds?.map((wait) => Math.round(wait * 1_000)) ?? null;
}

/** Names are compared as HTTP does: a header that is given again in other letters is the same. */
function changedHeaders(
  known: Readonly<Record<string, string>>,
  change: Readonly<Record<string, string | null>>,
): Record<string, string> {
  const named = new Set(Object.keys(change).map((name) => name.toLowerCase()));
  const kept = Object.entries(known).filter(([name]) => !named.has(name.toLowerCase()));
  const given = Object.entries(change).flatMap(([name, value]): [string, string][] =>
    value === null ? [] : [[name, value]],
  );
  return Object.fromEntries([...kept, ...given]);
}

function check(
  url: string | undefined,
  headers: Readonly<Record<string, string>>,
  urlError: UrlError,
): void {
  const errors = Object.entries(headers).flatMap(([name, value]): FieldError[] => {
    const message = userHeaderError(name, value);
    return message === null ? [] : [{ path: `headers.${name}`, message }];
  });
  if (errors.length > 0) throw invalidRequest(errors);
  const detail = url === undefined ? null : urlError(url);
  if (detail !== null) {
    throw new ProblemError('unsafe_callback_url', detail, [{ path: 'url', message: detail }]);
  }
}

function isDisabled(): ProblemError {
  return new ProblemError('not_enabled', 'the endpoint is disabled: enable it first');
}

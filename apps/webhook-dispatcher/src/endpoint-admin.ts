import { randomBytes } from 'node:crypto';

import {
  deliveryIdSchema,
  endpointIdSchema,
  endpointsPerTenantMax,
  invalidRequest,
  liveSecretsMax,
  pingEventType,
  ProblemError,
  withNewSecret,
  type EndpointId,
  type EndpointRecovery,
  type EndpointSecretRotation,
  type EndpointTest,
  type SigningSecret,
  type WebhookBody,
  type WebhookEndpointChange,
  type WebhookEndpointSubmission,
} from '@millrace/contracts';
import { checkUrl, type EgressPolicy } from '@millrace/egress';
import { ulid } from 'ulid';

import { recoveryQueryOf } from './core/delivery-query.ts';
import {
  changedEndpoint,
  enabledEndpoint,
  pausedEndpoint,
  resumedEndpoint,
  settingsOf,
  type EndpointState,
  type RegisteredEndpoint,
} from './core/registered-endpoint.ts';
import { webhookIdOf } from './core/webhook-id.ts';
import type {
  EndpointRegistry,
  LaneEffect,
  Replayed,
  TenantDeliveries,
} from './management-ports.ts';

/** Random bytes of a signing secret. */
const secretBytes = 32;
/** Who changes an endpoint meanwhile is another person, or the sender that disables it once. */
const swapsMax = 5;

export interface EndpointAdminParts {
  readonly registry: EndpointRegistry;
  readonly deliveries: TenantDeliveries;
  readonly egress: EgressPolicy;
  /** Something waits now that did not. */
  readonly wake: () => void;
}

export interface EndpointName {
  readonly tenant: string;
  readonly id: EndpointId;
}

/** An endpoint, and the secret that it has just been given. */
export interface EndpointWithNewSecret {
  readonly endpoint: RegisteredEndpoint;
  readonly secret: string;
}

/** Makes and changes the registered endpoints of a tenant. */
export class EndpointAdmin {
  constructor(private readonly parts: EndpointAdminParts) {}

  /** @throws ProblemError for what is wrong in it, or `limit_reached`. */
  async create(
    tenant: string,
    submission: WebhookEndpointSubmission,
  ): Promise<EndpointWithNewSecret> {
    const settings = settingsOf(submission, (url) => this.urlError(url));
    const secret = submission.secret ?? newSecret();
    const created_at = new Date().toISOString();
    const secrets: SigningSecret[] = [{ secret, created_at, expires_at: null }];
    const id = endpointIdSchema.parse(`ep_${ulid()}`);
    const state = { ...settings, secrets, status: 'enabled', disabledReason: null } as const;
    const endpoint = await this.parts.registry.create({ tenant, id, state });
    if (endpoint !== null) return { endpoint, secret };
    const detail = `a tenant has at most ${endpointsPerTenantMax} endpoints`;
    throw new ProblemError('limit_reached', detail);
  }

  /** @throws ProblemError `not_found` */
  async get({ tenant, id }: EndpointName): Promise<RegisteredEndpoint> {
    const endpoint = await this.parts.registry.get(tenant, id);
    if (endpoint === null) throw notFound();
    return endpoint;
  }

  /** @throws ProblemError `not_found`, `changed_meanwhile`, or for what is wrong in it. */
  change(name: EndpointName, change: WebhookEndpointChange): Promise<RegisteredEndpoint> {
    const decide = (known: RegisteredEndpoint) =>
      changedEndpoint(known, change, (url) => this.urlError(url));
    return this.swap(name, decide, 'none');
  }

  /** @throws ProblemError `not_found`, `limit_reached` */
  async rotateSecret(
    name: EndpointName,
    rotation: EndpointSecretRotation,
  ): Promise<EndpointWithNewSecret> {
    const secret = rotation.secret ?? newSecret();
    const expirePreviousMs = rotation.expire_previous_in_seconds * 1_000;
    const decide = (known: RegisteredEndpoint): EndpointState => {
      if (known.secrets.some((live) => live.secret === secret)) {
        throw invalidRequest([{ path: 'secret', message: 'is one that the endpoint has' }]);
      }
      const nowMs = Date.now();
      const secrets = withNewSecret(known.secrets, { secret, expirePreviousMs, nowMs });
      if (secrets !== null) return { ...known, secrets };
      const detail =
        `${liveSecretsMax} secrets live already: let them end, or end them with ` +
        `expire_previous_in_seconds of 0`;
      throw new ProblemError('limit_reached', detail);
    };
    return { endpoint: await this.swap(name, decide, 'none'), secret };
  }

  /** @throws ProblemError `not_found`, `not_enabled` */
  pause(name: EndpointName): Promise<RegisteredEndpoint> {
    return this.swap(name, pausedEndpoint, 'close');
  }

  /** @throws ProblemError `not_found`, `not_enabled` */
  async resume(name: EndpointName): Promise<RegisteredEndpoint> {
    const endpoint = await this.swap(name, resumedEndpoint, 'open');
    this.parts.wake();
    return endpoint;
  }

  /** @throws ProblemError `not_found` */
  async enable(name: EndpointName): Promise<RegisteredEndpoint> {
    const endpoint = await this.swap(name, enabledEndpoint, 'forgive');
    this.parts.wake();
    return endpoint;
  }

  /** @throws ProblemError `not_found` */
  async remove({ tenant, id }: EndpointName): Promise<void> {
    if (!(await this.parts.registry.remove(tenant, id))) throw notFound();
  }

  /**
   * Sends it an event that says nothing, by the same way as all others.
   * @throws ProblemError `not_found`, `not_enabled`
   */
  async test(
    name: EndpointName,
    traceHeaders: Readonly<Record<string, string>>,
  ): Promise<EndpointTest> {
    const { id: endpoint, status, tenant, url } = await this.get(name);
    if (status !== 'enabled') {
      throw new ProblemError('not_enabled', `the endpoint is ${status}: nothing is sent to it`);
    }
    const webhookId = webhookIdOf(`${tenant}:ping:${ulid()}`);
    const id = deliveryIdSchema.parse(`${webhookId}.${endpoint}`);
    const body: WebhookBody = {
      type: pingEventType,
      timestamp: new Date().toISOString(),
      data: { endpoint_id: endpoint },
    };
    const bytes = Buffer.from(JSON.stringify(body));
    await this.parts.deliveries.ping({ tenant, id, endpoint, url, body: bytes, traceHeaders });
    this.parts.wake();
    return { delivery_id: id, webhook_id: webhookId };
  }

  /** @throws ProblemError `not_found`, `not_enabled` */
  async recover(name: EndpointName, recovery: EndpointRecovery): Promise<Replayed> {
    const { id, status, tenant } = await this.get(name);
    if (status === 'disabled') {
      throw new ProblemError('not_enabled', 'the endpoint is disabled: enable it first');
    }
    const replayed = await this.parts.deliveries.replayAll(tenant, recoveryQueryOf(id, recovery));
    this.parts.wake();
    return replayed;
  }

  /** Reads, decides and writes; on a lost swap from the beginning. */
  private async swap(
    name: EndpointName,
    decide: (known: RegisteredEndpoint) => EndpointState | null,
    lane: LaneEffect,
  ): Promise<RegisteredEndpoint> {
    for (let swap = 0; swap < swapsMax; swap += 1) {
      const known = await this.get(name);
      const state = decide(known);
      if (state === null) return known;
      const changed = await this.parts.registry.change(known, state, lane);
      if (changed !== null) return changed;
    }
    throw new ProblemError('changed_meanwhile', 'others change the endpoint just now');
  }

  private urlError(url: string): string | null {
    const check = checkUrl(url, this.parts.egress);
    return check.ok ? null : check.detail;
  }
}

function newSecret(): string {
  return `whsec_${randomBytes(secretBytes).toString('base64')}`;
}

function notFound(): ProblemError {
  return new ProblemError('not_found', 'there is no endpoint of this id');
}

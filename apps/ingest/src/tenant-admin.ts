import { randomBytes } from 'node:crypto';

import {
  apiKeysPerTenantMax,
  assertNever,
  defaultTenant,
  liveSecretsMax,
  tenantsMax,
  type ApiKeyView,
  type NewApiKey,
  type TenantId,
} from '@millrace/contracts';
import { Injectable } from '@nestjs/common';

import { ApiKeyAuth } from './api-key-auth.ts';
import { apiKeyBytes, apiKeyOf, keptApiKey } from './core/api-key.ts';
import { ProblemError } from './core/problem.ts';
import {
  disabledTenant,
  enabledTenant,
  webhookSecretBytes,
  webhookSecretOf,
  withNewSecret,
  type Tenant,
  type TenantChange,
} from './core/tenant.ts';
import { Announcements, ApiKeys, Clock, Tenants, type Told } from './ports.ts';
import { TenantTeller } from './tenant-teller.ts';
import { TenantTopics } from './tenant-topics.ts';

/** A tenant, and the secret that it has just been given. */
export interface TenantWithNewSecret {
  readonly tenant: Tenant;
  readonly secret: string;
}

/** Makes and changes tenants and keys. A change holds here at once, elsewhere within seconds. */
@Injectable()
export class TenantAdmin {
  constructor(
    private readonly tenants: Tenants,
    private readonly keys: ApiKeys,
    private readonly auth: ApiKeyAuth,
    private readonly teller: TenantTeller,
    private readonly topics: TenantTopics,
    private readonly announcements: Announcements,
    private readonly clock: Clock,
  ) {}

  /** @throws ProblemError `already_exists`, `limit_reached` */
  async create(id: TenantId): Promise<TenantWithNewSecret> {
    const secret = newSecret();
    const creation = await this.tenants.create(id, secret, this.teller.tell);
    switch (creation.kind) {
      case 'created':
        return { tenant: await this.told(creation), secret };
      case 'known':
        throw new ProblemError('already_exists', 'there is a tenant of this id');
      case 'limit':
        throw new ProblemError('limit_reached', `there are ${tenantsMax} tenants`);
      default:
        return assertNever(creation);
    }
  }

  /** @throws ProblemError `not_found`, `limit_reached` */
  async rotateSecret(
    id: TenantId,
    o: { readonly expirePreviousMs: number },
  ): Promise<TenantWithNewSecret> {
    const secret = newSecret();
    const nowMs = this.clock.now().getTime();
    const change = (tenant: Tenant): TenantChange => {
      const rotated = withNewSecret(tenant, { secret, nowMs, ...o });
      if (rotated !== null) return rotated;
      const detail = `${liveSecretsMax} secrets live already: let them end first`;
      throw new ProblemError('limit_reached', detail);
    };
    return { tenant: await this.change(id, change), secret };
  }

  /** @throws ProblemError `not_found`, `forbidden` */
  async disable(id: TenantId): Promise<Tenant> {
    const now = this.clock.now();
    refuseDefault(id);
    const tenant = await this.change(id, (known) => disabledTenant(known, now));
    this.auth.forgetTenant(id);
    return tenant;
  }

  /** @throws ProblemError `not_found`, `forbidden` */
  async enable(id: TenantId): Promise<Tenant> {
    refuseDefault(id);
    return this.change(id, enabledTenant);
  }

  /** @throws ProblemError `not_found`, `limit_reached` */
  async createKey(id: TenantId, label: string): Promise<NewApiKey> {
    if ((await this.tenants.find(id)) === null) throw noTenant();
    const key = apiKeyOf(randomBytes(apiKeyBytes));
    const view = await this.keys.create(id, { ...keptApiKey(key), label });
    if (view !== null) return { ...view, key };
    const detail = `the tenant has ${apiKeysPerTenantMax} keys: revoke one first`;
    throw new ProblemError('limit_reached', detail);
  }

  /** @throws ProblemError `not_found` */
  async revokeKey(tenant: TenantId, id: string): Promise<ApiKeyView> {
    const view = await this.keys.revoke(tenant, id);
    if (view === null) throw new ProblemError('not_found', 'the tenant has no key of this id');
    this.auth.forgetKey(id);
    return view;
  }

  private async change(
    id: TenantId,
    decide: (tenant: Tenant) => TenantChange | null,
  ): Promise<Tenant> {
    const told = await this.tenants.change(id, decide, this.teller.tell);
    if (told === null) throw noTenant();
    return this.told(told);
  }

  private async told({ tenant, message }: Told): Promise<Tenant> {
    if (message !== null) this.announcements.publish([message]);
    await this.topics.changed();
    return tenant;
  }
}

function refuseDefault(id: TenantId): void {
  if (id !== defaultTenant) return;
  throw new ProblemError('forbidden', 'the deployment itself has this tenant, and needs it');
}

function newSecret(): string {
  return webhookSecretOf(randomBytes(webhookSecretBytes));
}

function noTenant(): ProblemError {
  return new ProblemError('not_found', 'there is no tenant of this id');
}

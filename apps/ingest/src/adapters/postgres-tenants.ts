import {
  tenantIdSchema,
  type OutgoingMessage,
  type PayloadCodec,
  type TenantId,
} from '@millrace/contracts';
import type { Pool } from '@millrace/postgres';

import { ApiKeys, Tenants } from '../ports.ts';
import { findApiKey } from './find-api-key.ts';
import { keepTenant } from './keep-tenant.ts';

export class PostgresApiKeys extends ApiKeys {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    super();
    this.#pool = pool;
  }

  async findTenant(hash: Buffer): Promise<TenantId | null> {
    const tenant = await findApiKey(this.#pool, hash);
    return tenant === null ? null : tenantIdSchema.parse(tenant);
  }
}

export class PostgresTenants extends Tenants {
  readonly #pool: Pool;
  readonly #codec: PayloadCodec;

  constructor(pool: Pool, codec: PayloadCodec) {
    super();
    this.#pool = pool;
    this.#codec = codec;
  }

  async keep(tenant: {
    readonly id: TenantId;
    readonly webhookSecrets: readonly string[];
    readonly apiKeyHash: Buffer;
    readonly message: OutgoingMessage;
  }): Promise<void> {
    const secrets = Buffer.from(JSON.stringify(tenant.webhookSecrets));
    await keepTenant(this.#pool, {
      id: tenant.id,
      webhookSecrets: this.#codec.encode(secrets, { tenant: tenant.id, medium: 'table' }),
      apiKeyHash: tenant.apiKeyHash,
      apiKeyLabel: 'default',
      message: tenant.message,
    });
  }
}

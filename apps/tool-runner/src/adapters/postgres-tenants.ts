import type { TenantChanged } from '@millrace/contracts';
import { signingKeysOf, type SigningKeys } from '@millrace/egress';
import { TenantSecretTable, type Pool, type RefusedSecrets } from '@millrace/postgres';
import type { SecretBox } from '@millrace/runtime';

import { Tenants } from '../ports.ts';

/** Tenants in Postgres. */
export class PostgresTenants extends Tenants {
  private readonly table: TenantSecretTable<SigningKeys>;

  constructor(pool: Pool, box: SecretBox) {
    super();
    this.table = new TenantSecretTable({ pool, box, schema: 'tools', keyOf: signingKeysOf });
  }

  signingKeysOf(tenant: string): Promise<readonly SigningKeys[] | null> {
    return this.table.keysOf(tenant);
  }

  put(changed: readonly TenantChanged[]): Promise<readonly RefusedSecrets[]> {
    return this.table.put(changed);
  }
}

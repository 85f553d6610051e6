import type { OutgoingMessage } from '@millrace/contracts';
import { inTransaction, outboxColumns, outboxInsertSql, type Pool } from '@millrace/postgres';

/** A tenant as it is to be, and the message that tells of it. */
export interface KeptTenant {
  readonly id: string;
  readonly webhookSecrets: Buffer;
  readonly apiKeyHash: Buffer;
  readonly apiKeyLabel: string;
  readonly message: OutgoingMessage;
}

const tenantText = `
INSERT INTO ingest.tenants (id, webhook_secrets) VALUES ($1, $2)
ON CONFLICT (id) DO UPDATE SET webhook_secrets = excluded.webhook_secrets, changed_at = now()`;

const keyText = `
INSERT INTO ingest.api_keys (key_hash, tenant, label) VALUES ($1, $2, $3)
ON CONFLICT (key_hash) DO NOTHING`;

/** Makes the tenant and its key, or brings them up to date, and announces them. */
export async function keepTenant(pool: Pool, tenant: KeptTenant): Promise<void> {
  await inTransaction(pool, async (client) => {
    await client.query(tenantText, [tenant.id, tenant.webhookSecrets]);
    await client.query(keyText, [tenant.apiKeyHash, tenant.id, tenant.apiKeyLabel]);
    await client.query(outboxInsertSql('ingest', 1), outboxColumns([tenant.message]));
  });
}

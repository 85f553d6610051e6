import { intakeTopicOf, topics, type TenantId, type TenantView } from '@millrace/contracts';

/** Live signing secrets: the new one, and the one that receivers are changing from. */
const liveSecretsMax = 2;
/** Random bytes of a signing secret. */
export const webhookSecretBytes = 32;

/** A tenant as its row holds it. */
export interface Tenant {
  readonly id: TenantId;
  /** `whsec_…`, newest first, at least one. */
  readonly webhookSecrets: readonly string[];
  readonly createdAt: Date;
  readonly changedAt: Date;
  readonly disabledAt: Date | null;
}

/** What may be changed of a tenant. */
export type TenantChange = Pick<Tenant, 'webhookSecrets' | 'disabledAt'>;

/** A signing secret out of `webhookSecretBytes` random bytes. */
export function webhookSecretOf(random: Buffer): string {
  return `whsec_${random.toString('base64')}`;
}

/** The new secret in front; the one before it stays until the next rotation, if it is to. */
export function withNewSecret(
  tenant: Tenant,
  o: { readonly secret: string; readonly keepPrevious: boolean },
): TenantChange {
  const previous = o.keepPrevious ? tenant.webhookSecrets.slice(0, liveSecretsMax - 1) : [];
  return { webhookSecrets: [o.secret, ...previous], disabledAt: tenant.disabledAt };
}

/** Null when it is disabled already: since when does not change. */
export function disabledTenant(tenant: Tenant, now: Date): TenantChange | null {
  if (tenant.disabledAt !== null) return null;
  return { webhookSecrets: tenant.webhookSecrets, disabledAt: now };
}

/** Null when it is enabled already. */
export function enabledTenant(tenant: Tenant): TenantChange | null {
  if (tenant.disabledAt === null) return null;
  return { webhookSecrets: tenant.webhookSecrets, disabledAt: null };
}

/** The event that tells of a tenant: the same for the same state of its row. */
export function tenantChanged(tenant: Tenant) {
  const changedAt = tenant.changedAt.toISOString();
  return {
    topic: topics.tenantsChanged,
    type: 'millrace.tenant.changed.v1',
    id: `${tenant.id}:changed:${changedAt}`,
    key: tenant.id,
    time: tenant.changedAt,
    tenant: tenant.id,
    data: {
      tenant: tenant.id,
      webhook_secrets: [...tenant.webhookSecrets],
      disabled: tenant.disabledAt !== null,
      changed_at: changedAt,
    },
  };
}

/** The tenant without its secrets. */
export function tenantView(tenant: Omit<Tenant, 'webhookSecrets'>): TenantView {
  return {
    id: tenant.id,
    intake_topic: intakeTopicOf(tenant.id).name,
    created_at: tenant.createdAt.toISOString(),
    changed_at: tenant.changedAt.toISOString(),
    disabled_at: tenant.disabledAt?.toISOString() ?? null,
  };
}

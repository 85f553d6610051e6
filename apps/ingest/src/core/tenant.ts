import {
  intakeTopicOf,
  topics,
  withNewSecret as secretsWith,
  type SigningSecret,
  type TenantId,
  type TenantView,
} from '@millrace/contracts';

/** Random bytes of a signing secret. */
export const webhookSecretBytes = 32;

/** A tenant as its row holds it. */
export interface Tenant {
  readonly id: TenantId;
  /** Newest first, at least one. */
  readonly webhookSecrets: readonly SigningSecret[];
  /** The same as its row holds them, and as other services are told. */
  readonly sealedSecrets: Buffer;
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

/**
 * The new secret in front; those before it sign for a while longer.
 * @returns null when more would live at once than may.
 */
export function withNewSecret(
  tenant: Tenant,
  o: { readonly secret: string; readonly expirePreviousMs: number; readonly nowMs: number },
): TenantChange | null {
  const webhookSecrets = secretsWith(tenant.webhookSecrets, o);
  return webhookSecrets && { webhookSecrets, disabledAt: tenant.disabledAt };
}

/** A tenant's first secret. */
export function firstSecret(secret: string, now: Date): SigningSecret[] {
  return [{ secret, created_at: now.toISOString(), expires_at: null }];
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
      sealed_secrets: tenant.sealedSecrets.toString('base64'),
      disabled: tenant.disabledAt !== null,
      changed_at: changedAt,
    },
  };
}

/** The tenant without its secrets. */
export function tenantView(
  tenant: Omit<Tenant, 'webhookSecrets' | 'sealedSecrets'>,
): TenantView {
  return {
    id: tenant.id,
    intake_topic: intakeTopicOf(tenant.id).name,
    created_at: tenant.createdAt.toISOString(),
    changed_at: tenant.changedAt.toISOString(),
    disabled_at: tenant.disabledAt?.toISOString() ?? null,
  };
}

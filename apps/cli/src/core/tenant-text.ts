import type { ApiKeyView, TenantView } from '@millrace/contracts';

import { fields, printable } from './table.ts';

/** A tenant as a person reads it. */
export function tenantText(tenant: TenantView): string {
  return fields({
    tenant: tenant.id,
    topic: tenant.intake_topic,
    created: tenant.created_at,
    disabled: tenant.disabled_at ?? undefined,
  });
}

/** A key as a person knows it again: never the key itself. */
export function apiKeyText(key: ApiKeyView): string {
  return fields({
    id: key.id,
    tenant: key.tenant,
    label: key.label,
    'ends with': key.last4,
    created: key.created_at,
    'last used': key.last_used_at ?? undefined,
    revoked: key.revoked_at ?? undefined,
  });
}

/** A secret on a line of its own, so that it can be taken as it stands. */
export function newSecretText(secret: string): string {
  return `Keep this: it is not shown again.\n${printable(secret)}`;
}

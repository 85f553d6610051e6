import { tenantChangedSchema, tenantIdSchema, tenantSubmissionSchema } from '@millrace/contracts';
import { describe, expect, it } from '@jest/globals';

import {
  disabledTenant,
  enabledTenant,
  tenantChanged,
  tenantView,
  webhookSecretOf,
  withNewSecret,
  type Tenant,
} from './tenant.ts';

const at = new Date('2026-01-02T03:04:05.678Z');
const keptSecret = (secret: string, expires_at: string | null = null) => ({
  secret,
  created_at: null,
  expires_at,
});
const nextDay = '2026-01-03T03:04:05.678Z';
const tenant: Tenant = {
  id: tenantIdSchema.parse('acme'),
  webhookSecrets: [keptSecret('whsec_2'), keptSecret('whsec_1', nextDay)],
  sealedSecrets: Buffer.from([1, 2, 3]),
  createdAt: at,
  changedAt: at,
  disabledAt: null,
};

describe('a new secret', () => {
  const rotation = { secret: 'whsec_3', nowMs: at.getTime(), expirePreviousMs: 60_000 };

  it('stands in front of those before it, which have their time', () => {
    const change = withNewSecret(tenant, rotation);
    expect(change?.webhookSecrets).toEqual([
      { secret: 'whsec_3', created_at: at.toISOString(), expires_at: null },
      keptSecret('whsec_2', '2026-01-02T03:05:05.678Z'),
      keptSecret('whsec_1', '2026-01-02T03:05:05.678Z'),
    ]);
  });

  it('stands alone when the one before it is known to others', () => {
    const change = withNewSecret(tenant, { ...rotation, expirePreviousMs: 0 });
    expect(change?.webhookSecrets.map(({ secret }) => secret)).toEqual(['whsec_3']);
  });

  it('leaves a disabled tenant disabled', () => {
    const disabled = { ...tenant, disabledAt: at };
    expect(withNewSecret(disabled, rotation)?.disabledAt).toBe(at);
  });

  it('is made of 32 bytes, as Standard Webhooks writes them', () => {
    expect(webhookSecretOf(Buffer.alloc(32))).toBe(`whsec_${'A'.repeat(43)}=`);
  });
});

it('disabling and enabling again change nothing the second time', () => {
  const disabled = { ...tenant, ...disabledTenant(tenant, at) };
  expect(disabled).toEqual({ ...tenant, disabledAt: at });
  expect(disabledTenant(disabled, new Date())).toBeNull();
  expect(enabledTenant(disabled)).toEqual({
    webhookSecrets: tenant.webhookSecrets,
    disabledAt: null,
  });
  expect(enabledTenant(tenant)).toBeNull();
});

it('the event of a state follows the contract and is the same each time', () => {
  const event = tenantChanged({ ...tenant, disabledAt: at });
  expect(event).toEqual(tenantChanged({ ...tenant, disabledAt: at }));
  expect(event.id).toBe('acme:changed:2026-01-02T03:04:05.678Z');
  expect(tenantChangedSchema.parse(event.data)).toEqual({
    tenant: 'acme',
    sealed_secrets: 'AQID',
    disabled: true,
    changed_at: '2026-01-02T03:04:05.678Z',
  });
});

it('what is shown of a tenant has no secret', () => {
  expect(JSON.stringify(tenantView(tenant))).not.toContain('whsec_');
});

it.each(['a', 'acme', 'acme-2', '9lives', 'a'.repeat(63)])('%s may be a tenant', (id) => {
  expect(tenantSubmissionSchema.safeParse({ id }).success).toBe(true);
});

it.each(['', 'Acme', 'a.b', '-a', 'a-', 'a_b', 'ä', 'default', 'admin', 'a'.repeat(64)])(
  '%j may not',
  (id) => {
    expect(tenantSubmissionSchema.safeParse({ id }).success).toBe(false);
  },
);

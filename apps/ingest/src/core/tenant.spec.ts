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
const tenant: Tenant = {
  id: tenantIdSchema.parse('acme'),
  webhookSecrets: ['whsec_2', 'whsec_1'],
  createdAt: at,
  changedAt: at,
  disabledAt: null,
};

describe('a new secret', () => {
  it('stands in front of the one before it, and of no older one', () => {
    const change = withNewSecret(tenant, { secret: 'whsec_3', keepPrevious: true });
    expect(change.webhookSecrets).toEqual(['whsec_3', 'whsec_2']);
  });

  it('stands alone when the one before it is known to others', () => {
    const change = withNewSecret(tenant, { secret: 'whsec_3', keepPrevious: false });
    expect(change.webhookSecrets).toEqual(['whsec_3']);
  });

  it('leaves a disabled tenant disabled', () => {
    const disabled = { ...tenant, disabledAt: at };
    const change = withNewSecret(disabled, { secret: 'whsec_3', keepPrevious: true });
    expect(change.disabledAt).toBe(at);
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
    webhook_secrets: ['whsec_2', 'whsec_1'],
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

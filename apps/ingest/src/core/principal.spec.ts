import { tenantIdSchema } from '@millrace/contracts';
import { describe, expect, it } from '@jest/globals';

import {
  letterOwner,
  managedTenant,
  ownTenant,
  requireOperator,
  type Principal,
} from './principal.ts';

const acme = tenantIdSchema.parse('acme');
const globex = tenantIdSchema.parse('globex');
const tenant: Principal = { kind: 'tenant', tenant: acme };
const operator: Principal = { kind: 'operator' };

const forbidden = expect.objectContaining({ code: 'forbidden' });

describe('a tenant’s key', () => {
  it('speaks for its tenant', () => expect(ownTenant(tenant)).toBe(acme));

  it('reads the dead letters of its tenant', () => expect(letterOwner(tenant)).toBe(acme));

  it('manages the keys of its own tenant, named or not, and of no other', () => {
    expect(managedTenant(tenant, undefined)).toBe(acme);
    expect(managedTenant(tenant, acme)).toBe(acme);
    expect(() => managedTenant(tenant, globex)).toThrow(forbidden);
  });

  it('makes no tenants', () => expect(() => requireOperator(tenant)).toThrow(forbidden));
});

describe('the operator’s key', () => {
  it('reads the dead letters of nobody', () => expect(letterOwner(operator)).toBe(''));

  it('speaks for no tenant', () => expect(() => ownTenant(operator)).toThrow(forbidden));

  it('manages the keys of whom it names', () => {
    expect(managedTenant(operator, globex)).toBe(globex);
    expect(() => managedTenant(operator, undefined)).toThrow(
      expect.objectContaining({ code: 'invalid_request' }),
    );
  });

  it('makes tenants', () => expect(() => requireOperator(operator)).not.toThrow());
});

import type { TenantId } from '@millrace/contracts';

import type { LetterOwner } from './dead-letter.ts';
import { ProblemError } from './problem.ts';

/** Who a request speaks for: a tenant, or the operator, who has no jobs and makes the tenants. */
export type Principal =
  | { readonly kind: 'tenant'; readonly tenant: TenantId }
  | { readonly kind: 'operator' };

/**
 * The tenant of a route that belongs to one.
 * @throws ProblemError `forbidden` for the operator.
 */
export function ownTenant(principal: Principal): TenantId {
  if (principal.kind === 'tenant') return principal.tenant;
  throw new ProblemError('forbidden', 'this belongs to a tenant: use one of its own keys');
}

/** @throws ProblemError `forbidden` for a tenant's key. */
export function requireOperator(principal: Principal): void {
  if (principal.kind === 'operator') return;
  throw new ProblemError('forbidden', 'this needs the operator’s key');
}

/** Whose dead letters a key shows: a tenant's own, or to the operator those of nobody. */
export function letterOwner(principal: Principal): LetterOwner {
  return principal.kind === 'tenant' ? principal.tenant : '';
}

/**
 * Whose keys a request is about. The operator says it, a tenant need not.
 * @throws ProblemError
 */
export function managedTenant(principal: Principal, named: TenantId | undefined): TenantId {
  if (principal.kind === 'operator') {
    if (named !== undefined) return named;
    const errors = [{ path: 'tenant', message: 'the operator must name a tenant' }];
    throw new ProblemError('invalid_request', 'a field is missing', errors);
  }
  if (named === undefined || named === principal.tenant) return principal.tenant;
  throw new ProblemError('forbidden', 'a tenant’s key manages the keys of its own tenant');
}

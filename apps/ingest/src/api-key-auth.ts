import { timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

import { httpHeaders, type TenantId } from '@millrace/contracts';
import { Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';

import { apiKeyIdOf, hashApiKey, presentedKey } from './core/api-key.ts';
import type { Principal } from './core/principal.ts';
import { ProblemError } from './core/problem.ts';
import { ApiKeys } from './ports.ts';

/** Keys remembered, and for how long: one revoked by another replica works that much longer. */
const cachedKeysMax = 10_000;
const cachedMs = 5_000;

/** The operator's key, as the deployment gives it; without one nobody makes tenants. */
export class OperatorKey {
  private readonly hash: Buffer | null;

  constructor(key: string | undefined) {
    this.hash = key === undefined ? null : hashApiKey(key);
  }

  matches(hash: Buffer): boolean {
    return this.hash !== null && timingSafeEqual(this.hash, hash);
  }
}

interface KnownKey {
  readonly id: string;
  readonly tenant: TenantId;
}

/** Finds out whom a request speaks for. */
@Injectable()
export class ApiKeyAuth {
  private readonly known = new LRUCache<string, KnownKey>({ max: cachedKeysMax, ttl: cachedMs });
  /** Counts what was forgotten: an answer that was asked for before is not remembered. */
  private forgotten = 0;

  constructor(
    private readonly keys: ApiKeys,
    private readonly operator: OperatorKey,
  ) {}

  /**
   * @param o `anew`: asks for a key that is remembered, too, as a revoked one must end here
   * @throws ProblemError `unauthorized`, with no word about what was wrong with the key.
   */
  async authenticate(
    headers: IncomingHttpHeaders,
    o: { readonly anew: boolean },
  ): Promise<Principal> {
    const given = headers[httpHeaders.apiKey];
    const apiKey = Array.isArray(given) ? given[0] : given;
    const key = presentedKey({ authorization: headers.authorization, apiKey });
    if (key === null) throw unauthorized();
    const hash = hashApiKey(key);
    if (this.operator.matches(hash)) return { kind: 'operator' };
    const tenant = await this.tenantOf(hash, o.anew);
    if (tenant === null) throw unauthorized();
    return { kind: 'tenant', tenant };
  }

  /** A key that was revoked does not work here any more. */
  forgetKey(id: string): void {
    this.forget((known) => known.id === id);
  }

  /** Nor do the keys of a tenant that was disabled. */
  forgetTenant(tenant: TenantId): void {
    this.forget((known) => known.tenant === tenant);
  }

  private async tenantOf(hash: Buffer, anew: boolean): Promise<TenantId | null> {
    const name = hash.toString('base64');
    const known = anew ? undefined : this.known.get(name);
    if (known !== undefined) return known.tenant;
    const asked = this.forgotten;
    const tenant = await this.keys.findTenant(hash);
    if (tenant !== null && asked === this.forgotten) {
      this.known.set(name, { id: apiKeyIdOf(hash), tenant });
    }
    return tenant;
  }

  private forget(isGone: (known: KnownKey) => boolean): void {
    this.forgotten += 1;
    for (const [name, known] of this.known.entries()) {
      if (isGone(known)) this.known.delete(name);
    }
  }
}

function unauthorized(): ProblemError {
  return new ProblemError('unauthorized', 'send a valid key as `Authorization: Bearer mr_…`');
}

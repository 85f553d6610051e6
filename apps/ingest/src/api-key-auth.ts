import { httpHeaders, type TenantId } from '@millrace/contracts';
import { Injectable } from '@nestjs/common';
import type { IncomingHttpHeaders } from 'node:http';
import { LRUCache } from 'lru-cache';

import { hashApiKey, presentedKey } from './core/api-key.ts';
import { ProblemError } from './core/problem.ts';
import { ApiKeys } from './ports.ts';

/** Keys remembered, and for how long: a revoked key works at most this much longer. */
const cachedKeysMax = 10_000;
const cachedMs = 15_000;

/** Finds the tenant that a request speaks for. */
@Injectable()
export class ApiKeyAuth {
  private readonly tenants = new LRUCache<string, TenantId>({ max: cachedKeysMax, ttl: cachedMs });

  constructor(private readonly keys: ApiKeys) {}

  /** @throws ProblemError `unauthorized`, with no word about what was wrong with the key. */
  async authenticate(headers: IncomingHttpHeaders): Promise<TenantId> {
    const given = headers[httpHeaders.apiKey];
    const apiKey = Array.isArray(given) ? given[0] : given;
    const key = presentedKey({ authorization: headers.authorization, apiKey });
    if (key === null) throw unauthorized();
    const hash = hashApiKey(key);
    const known = this.tenants.get(hash.toString('base64'));
    if (known !== undefined) return known;
    const tenant = await this.keys.findTenant(hash);
    if (tenant === null) throw unauthorized();
    this.tenants.set(hash.toString('base64'), tenant);
    return tenant;
  }
}

function unauthorized(): ProblemError {
  return new ProblemError('unauthorized', 'send a valid key as `Authorization: Bearer mr_…`');
}

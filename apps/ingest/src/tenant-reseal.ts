import type { TenantId } from '@millrace/contracts';
import { isConnectionLost, type ResealCount, type ResealPass } from '@millrace/postgres';
import type { Logger } from '@millrace/runtime';

import type { Tenant, TenantChange } from './core/tenant.ts';
import type { Announcements, Tenants } from './ports.ts';
import type { TenantTeller } from './tenant-teller.ts';

/** Tenants that are looked up with one statement. */
const tenantsAtOnce = 100;

export interface TenantResealOptions {
  readonly tenants: Tenants;
  readonly teller: TenantTeller;
  readonly announcements: Announcements;
  readonly log: Logger;
}

/**
 * Seals the secrets of tenants anew, one tenant in a transaction, and tells of it: the topic keeps
 * the latest record of each, and what it says has to be readable without the older keys as well.
 */
export function tenantReseal(o: TenantResealOptions): ResealPass {
  const run = async (isStopping: () => boolean): Promise<ResealCount> => {
    const count = { resealed: 0, unreadable: 0 };
    let after: TenantId | null = null;
    while (!isStopping()) {
      const found: TenantId[] = await o.tenants.sealedOtherwise(after, tenantsAtOnce);
      for (const id of found) {
        if (isStopping()) break;
        count[(await resealOne(id, o)) ? 'resealed' : 'unreadable'] += 1;
      }
      after = found.at(-1) ?? null;
      if (found.length < tenantsAtOnce) break;
    }
    return count;
  };
  return { name: 'ingest.tenants', run };
}

/** @returns false for one that cannot be opened: it delays no other. */
async function resealOne(
  id: TenantId,
  { announcements, log, teller, tenants }: TenantResealOptions,
): Promise<boolean> {
  try {
    const told = await tenants.change(id, asItIs, teller.tell);
    if (told?.message != null) announcements.publish([told.message]);
    return true;
  } catch (error) {
    if (isConnectionLost(error)) throw error;
    log.error({ error, tenant: id }, 'the secrets of a tenant cannot be sealed anew');
    return false;
  }
}

/** What is written is sealed under the first key. */
function asItIs({ disabledAt, webhookSecrets }: Tenant): TenantChange {
  return { disabledAt, webhookSecrets };
}

import { tenantIdSchema } from '@millrace/contracts';

import { valueOption } from '../command.ts';
import type { KeyHolder } from '../config.ts';

/** Option of every command about keys: a tenant manages its own, the operator says whose. */
export const keyOwnerOption = {
  tenant: valueOption('ID', 'of this tenant, by the operator’s key', tenantIdSchema),
};

/** Whose key shows that this may be done. */
export function keyHolderFor(tenant: string | undefined): KeyHolder {
  return tenant === undefined ? 'tenant' : 'operator';
}

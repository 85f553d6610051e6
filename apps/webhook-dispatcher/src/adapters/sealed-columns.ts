import { tenantSecretsColumn, type SealedColumn } from '@millrace/postgres';

import { endpointHeadersPlace, endpointSecretsPlace } from '../core/sealed-places.ts';

const endpoints = { table: 'dispatcher.endpoints', key: ['tenant', 'id'] } as const;

/** All secrets that this service keeps. */
export const sealedColumns: readonly SealedColumn[] = [
  tenantSecretsColumn('dispatcher'),
  { ...endpoints, column: 'secrets', placeOf: endpointSecretsPlace },
  { ...endpoints, column: 'headers', placeOf: endpointHeadersPlace },
];

import { expect, it } from '@jest/globals';

import { streamRoom } from './stream-room.ts';

it.each([
  ['the last place of both', 9, 2, 'room'],
  ['a tenant that has its share', 3, 3, 'tenant_full'],
  ['a process that is full', 10, 0, 'process_full'],
  ['both full: the tenant can do something about its own', 10, 3, 'tenant_full'],
])('%s', (_what, process, tenant, expected) => {
  expect(streamRoom({ process, tenant }, { processMax: 10, tenantMax: 3 })).toBe(expected);
});

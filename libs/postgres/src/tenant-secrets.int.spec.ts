import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { IdentityPayloadCodec, tenantChangedSchema } from '@millrace/contracts';
import { createTestDatabase, type TestDatabase } from '@millrace/testing';

import { BadRowError, createPool, TenantSecretTable, type Pool } from './index.ts';

jest.setTimeout(30_000);

let database: TestDatabase;
let admin: Pool;
let pool: Pool;
let table: TenantSecretTable<string>;

beforeAll(async () => {
  database = await createTestDatabase();
  admin = createPool({ url: database.adminUrl, max: 1, applicationName: 'spec' });
  pool = createPool({ url: database.url('tool_runner'), max: 2, applicationName: 'spec' });
  const codec = new IdentityPayloadCodec();
  table = new TenantSecretTable({ pool, codec, schema: 'tools', keyOf: (secret) => secret });
});
afterAll(async () => {
  await Promise.all([pool.end(), admin.end()]);
  await database.drop();
});

const changed = (tenant: string, secret: string, second = 0) =>
  tenantChangedSchema.parse({
    tenant,
    webhook_secrets: [`whsec_${secret}`],
    changed_at: new Date(Date.UTC(2026, 10, 24, 12, 0, second)).toISOString(),
  });

describe('the secrets of tenants', () => {
  it('are the newest that were told, also when an older state comes late and twice', async () => {
    expect(await table.keysOf('acme')).toBeNull();
    expect(await table.put([changed('acme', 'old'), changed('beside', 'b')])).toEqual([]);
    expect(await table.keysOf('acme')).toEqual(['whsec_old']);
    expect(await table.put([changed('acme', 'new', 1)])).toEqual([]);
    for (let copy = 0; copy < 2; copy += 1) await table.put([changed('acme', 'old')]);
    expect(await table.keysOf('acme')).toEqual(['whsec_new']);
    expect(await table.keysOf('beside')).toEqual(['whsec_b']);
  });

  it('that the database refuses are told, and those beside them kept', async () => {
    await admin.query(`ALTER TABLE tools.tenants ADD CONSTRAINT spec CHECK (tenant <> 'refused')`);
    const refused = await table.put([changed('refused', 'a'), changed('kept', 'k')]);
    expect(refused).toEqual([{ tenant: 'refused', error: expect.any(BadRowError) }]);
    expect(await table.keysOf('kept')).toEqual(['whsec_k']);
  });

  it('come again when Postgres is away', async () => {
    const away = createPool({ url: database.url('tool_runner'), max: 1, applicationName: 'spec' });
    const codec = new IdentityPayloadCodec();
    const options = { codec, schema: 'tools', keyOf: (secret: string) => secret };
    const cut = new TenantSecretTable({ ...options, pool: away });
    await away.end();
    await expect(cut.put([changed('acme', 'lost', 2)])).rejects.toThrow();
    expect(await table.keysOf('acme')).toEqual(['whsec_new']);
  });
});

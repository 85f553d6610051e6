import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { tenantChangedSchema, tenantSecretsPlace } from '@millrace/contracts';
import { SecretBox } from '@millrace/runtime';
import { createTestDatabase, type TestDatabase } from '@millrace/testing';

import { BadRowError, createPool, TenantSecretTable, type Pool } from './index.ts';

jest.setTimeout(30_000);

const box = new SecretBox([Buffer.alloc(32, 9).toString('base64url')]);

let database: TestDatabase;
let admin: Pool;
let pool: Pool;
let table: TenantSecretTable<string>;

beforeAll(async () => {
  database = await createTestDatabase();
  admin = createPool({ url: database.adminUrl, max: 1, applicationName: 'spec' });
  pool = createPool({ url: database.url('tool_runner'), max: 2, applicationName: 'spec' });
  table = new TenantSecretTable({ pool, box, schema: 'tools', keyOf: (secret) => secret });
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

  it('are kept sealed, as they were told, and sign until their time', async () => {
    const secrets = [
      { secret: 'whsec_now', created_at: null, expires_at: null },
      { secret: 'whsec_before', created_at: null, expires_at: '2999-01-01T00:00:00.000Z' },
      { secret: 'whsec_ended', created_at: null, expires_at: '2026-01-01T00:00:00.000Z' },
    ];
    const sealed = box.seal(JSON.stringify(secrets), tenantSecretsPlace('sealed'));
    const told = tenantChangedSchema.parse({
      tenant: 'sealed',
      sealed_secrets: sealed.toString('base64'),
      changed_at: new Date().toISOString(),
    });
    for (let copy = 0; copy < 2; copy += 1) expect(await table.put([told])).toEqual([]);
    expect(await table.keysOf('sealed')).toEqual(['whsec_now', 'whsec_before']);
    await table.put([changed('clear', 'c')]);
    const { rows } = await admin.query<{ secrets: Buffer }>('SELECT secrets FROM tools.tenants');
    for (const row of rows) expect(row.secrets.includes('whsec_')).toBe(false);
  });

  it('that were kept before there was a key are read', async () => {
    await admin.query(
      `INSERT INTO tools.tenants (tenant, secrets, changed_at) VALUES ('old', $1, now())`,
      [Buffer.from('["whsec_old"]')],
    );
    expect(await table.keysOf('old')).toEqual(['whsec_old']);
  });

  it('that the database refuses are told, and those beside them kept', async () => {
    await admin.query(`ALTER TABLE tools.tenants ADD CONSTRAINT spec CHECK (tenant <> 'refused')`);
    const refused = await table.put([changed('refused', 'a'), changed('kept', 'k')]);
    expect(refused).toEqual([{ tenant: 'refused', error: expect.any(BadRowError) }]);
    expect(await table.keysOf('kept')).toEqual(['whsec_k']);
  });

  it('come again when Postgres is away', async () => {
    const away = createPool({ url: database.url('tool_runner'), max: 1, applicationName: 'spec' });
    const options = { box, schema: 'tools', keyOf: (secret: string) => secret };
    const cut = new TenantSecretTable({ ...options, pool: away });
    await away.end();
    await expect(cut.put([changed('acme', 'lost', 2)])).rejects.toThrow();
    expect(await table.keysOf('acme')).toEqual(['whsec_new']);
  });
});

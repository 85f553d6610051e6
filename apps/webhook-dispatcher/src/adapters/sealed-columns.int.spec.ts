import { randomBytes } from 'node:crypto';

import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';
import { columnReseal, createPool, type Pool } from '@millrace/postgres';
import { SecretBox } from '@millrace/runtime';
import { createTestDatabase, type TestDatabase } from '@millrace/testing';

import { endpointHeadersPlace, endpointSecretsPlace } from '../core/sealed-places.ts';
import { PostgresEndpoints } from './postgres-endpoints.ts';
import { PostgresTenants } from './postgres-tenants.ts';
import { sealedColumns } from './sealed-columns.ts';

jest.setTimeout(60_000);

const key = Buffer.alloc(32, 9).toString('base64url');
const secret = `whsec_${randomBytes(32).toString('base64')}`;

let database: TestDatabase;
let pool: Pool;

beforeAll(async () => {
  database = await createTestDatabase();
  pool = createPool({ url: database.url('webhook_dispatcher'), max: 2, applicationName: 'spec' });
});
afterAll(async () => {
  await pool.end();
  await database.drop();
});

it('every secret of endpoints and tenants is sealed anew, and opens as before', async () => {
  const clear = new SecretBox();
  const secrets = JSON.stringify([{ secret, created_at: null, expires_at: null }]);
  await pool.query(
    `INSERT INTO dispatcher.tenants (tenant, secrets, changed_at) VALUES ('acme', $1, now())`,
    [Buffer.from(secrets)],
  );
  const headers = { 'x-token': 'a token' };
  for (const [id, sealed] of [
    ['ep_with', clear.seal(JSON.stringify(headers), endpointHeadersPlace('acme', 'ep_with'))],
    ['ep_without', null],
  ] as const) {
    await pool.query(
      `INSERT INTO dispatcher.endpoints (tenant, id, url, headers, secrets)
       VALUES ('acme', $1, 'https://example.com', $2, $3)`,
      [id, sealed, clear.seal(secrets, endpointSecretsPlace('acme', id))],
    );
  }
  const box = new SecretBox([key]);
  const counts = [];
  for (const column of sealedColumns) {
    counts.push((await columnReseal({ pool, box, column }).run(() => false)).resealed);
  }
  expect(counts).toEqual([1, 2, 1]);
  const { rows } = await pool.query<{ left: number }>({
    text: `SELECT count(*)::int AS left FROM (
        SELECT secrets FROM dispatcher.tenants UNION ALL SELECT secrets FROM dispatcher.endpoints
        UNION ALL SELECT headers FROM dispatcher.endpoints
      ) AS kept WHERE substring(secrets FROM 1 FOR 5) <> $1`,
    values: [box.mark],
  });
  expect(rows[0]?.left).toBe(0);
  const found = await new PostgresEndpoints(pool, box).ofTenants(['acme']);
  const opened = found.get('acme')?.map((endpoint) => endpoint.secrets?.headers);
  expect(opened).toEqual([headers, {}]);
  expect(await new PostgresTenants(pool, box).signingKeysOf('acme')).toHaveLength(1);
});

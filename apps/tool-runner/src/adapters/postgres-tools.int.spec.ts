import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { IdentityPayloadCodec, toolSubmissionSchema } from '@millrace/contracts';
import { createPool, type Pool } from '@millrace/postgres';
import { createTestDatabase, type TestDatabase } from '@millrace/testing';

import { contentHash, contentJson } from '../core/tool-content.ts';
import { PostgresTools } from './postgres-tools.ts';

let database: TestDatabase;
let pool: Pool;

beforeAll(async () => {
  database = await createTestDatabase();
  pool = createPool({ url: database.adminUrl, max: 2, applicationName: 'spec' });
  for (const [tenant, name, version] of [
    ['acme', 'look', 1],
    ['acme', 'look', 2],
    ['acme', 'buy', 1],
    ['globex', 'look', 1],
    ['globex', 'gone', 1],
  ] as const) {
    await register(tenant, name, version);
  }
  await pool.query(`UPDATE tools.tools SET deleted_at = now() WHERE name = 'gone'`);
}, 60_000);

afterAll(async () => {
  await pool.end();
  await database.drop();
});

async function register(tenant: string, name: string, version: number): Promise<void> {
  const json = contentJson(
    toolSubmissionSchema.parse({
      description: `${name} of ${tenant}, ${version}`,
      input_schema: { type: 'object' },
      target: { kind: 'worker' },
    }),
  );
  await pool.query('INSERT INTO tools.tool_versions VALUES ($1, $2, $3, $4, $5)', [
    ...[tenant, name, version, contentHash(json)],
    Buffer.from(json),
  ]);
  await pool.query(
    `INSERT INTO tools.tools (tenant, name, version) VALUES ($1, $2, $3)
     ON CONFLICT (tenant, name) DO UPDATE SET version = excluded.version`,
    [tenant, name, version],
  );
}

describe('the current versions of tools', () => {
  it('are those of each tenant, whoever asks with it, read by one statement', async () => {
    let statements = 0;
    const counting = new Proxy(pool, {
      get(target, property) {
        if (property === 'query') statements += 1;
        return Reflect.get(target, property, target);
      },
    });
    const tools = new PostgresTools(counting, new IdentityPayloadCodec());
    const found = await tools.current([
      { tenant: 'acme', names: ['look', 'buy'] },
      { tenant: 'globex', names: ['look', 'buy', 'gone'] },
      { tenant: 'acme', names: ['look'] },
      { tenant: 'nobody', names: ['look'] },
      { tenant: 'acme', names: [] },
    ]);
    const told = found.map((each) => each.map(({ content }) => content.description));
    expect(told).toEqual([
      ['look of acme, 2', 'buy of acme, 1'],
      ['look of globex, 1'],
      ['look of acme, 2'],
      [],
      [],
    ]);
    expect(statements).toBe(1);
  });
});

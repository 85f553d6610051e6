import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { createTestDatabase, type DatabaseRole, type TestDatabase } from '@millrace/testing';

import { createPool, type Pool } from './index.ts';

jest.setTimeout(30_000);

const owners = {
  ingest: 'ingest',
  worker: 'claude_worker',
  orchestrator: 'agent_orchestrator',
  tools: 'tool_runner',
  dispatcher: 'webhook_dispatcher',
} as const satisfies Record<string, DatabaseRole>;
const schemas = [...Object.keys(owners), 'blobs', 'millrace'];
const roles = Object.values(owners);
const permissionDenied = '42501';

let database: TestDatabase;
let admin: Pool;
const pools = new Map<DatabaseRole, Pool>();

beforeAll(async () => {
  database = await createTestDatabase();
  admin = createPool({ url: database.adminUrl, max: 1, applicationName: 'roles-spec' });
  for (const role of roles) {
    const url = database.url(role);
    pools.set(role, createPool({ url, max: 1, applicationName: `roles-spec-${role}` }));
  }
  // A table as a service's own migration makes it, so that every schema has one to be read.
  for (const [schema, role] of Object.entries(owners)) {
    await admin.query(`CREATE TABLE ${schema}.isolation_probe AS SELECT 1 AS secret`);
    await admin.query(
      `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${schema} TO ${role}`,
    );
  }
});
afterAll(async () => {
  for (const pool of pools.values()) await pool.end();
  await admin.end();
  await database.drop();
});

/** The SQLSTATE that the statement fails with for this role; null when it passes. */
async function refusal(role: DatabaseRole, sql: string): Promise<string | null> {
  try {
    await pools.get(role)?.query(sql);
    return null;
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : 'no code';
  }
}

async function tablesOf(schema: string): Promise<string[]> {
  const { rows } = await admin.query<{ name: string }>(
    `SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname = $1`,
    [schema],
  );
  return rows.map(({ name }) => name);
}

describe.each(roles)('role %s', (role) => {
  it.each(schemas)('schema %s: reads its own tables and nobody else’s', async (schema) => {
    const own = Object.entries(owners).some((entry) => entry[0] === schema && entry[1] === role);
    const tables = await tablesOf(schema);
    expect(tables.length).toBeGreaterThan(0);
    for (const table of tables) {
      const read = await refusal(role, `SELECT count(*) FROM ${table}`);
      expect([table, read]).toEqual([table, own ? null : permissionDenied]);
      if (!own) expect(await refusal(role, `DELETE FROM ${table}`)).toBe(permissionDenied);
    }
  });

  it('makes no table or schema anywhere', async () => {
    const places = [...schemas, 'public'].map((schema) => `CREATE TABLE ${schema}.own (id int)`);
    for (const sql of [...places, 'CREATE SCHEMA own', 'CREATE TEMP TABLE own (id int)']) {
      expect([sql, await refusal(role, sql)]).toEqual([sql, permissionDenied]);
    }
  });

  it('calls no function but those of blobs', async () => {
    expect(await refusal(role, "SELECT public.millrace_create_outbox('ingest')")).toBe(
      permissionDenied,
    );
    expect(await refusal(role, "SELECT blobs.get('acme', 'blob_none')")).toBeNull();
  });

  it('is nobody special, and a member of no other role', async () => {
    const { rows } = await admin.query<{ special: boolean; member: boolean; owns: boolean }>(
      `SELECT rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls AS special,
         EXISTS (SELECT FROM pg_auth_members WHERE member = r.oid) AS member,
         EXISTS (SELECT FROM pg_class WHERE relowner = r.oid) AS owns
       FROM pg_roles AS r WHERE rolname = $1`,
      [role],
    );
    expect(rows).toEqual([{ special: false, member: false, owns: false }]);
  });
});

import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { createTestDatabase, type DatabaseRole, type TestDatabase } from '@millrace/testing';

import { TenantDatabase, createPool, type Pool } from './index.ts';

jest.setTimeout(30_000);

const services = [
  { schema: 'ingest', pipeline: 'ingest', api: 'ingest_api' },
  { schema: 'worker', pipeline: 'claude_worker', api: 'claude_worker_api' },
  { schema: 'orchestrator', pipeline: 'agent_orchestrator', api: 'agent_orchestrator_api' },
  { schema: 'tools', pipeline: 'tool_runner', api: 'tool_runner_api' },
  { schema: 'dispatcher', pipeline: 'webhook_dispatcher', api: 'webhook_dispatcher_api' },
] as const satisfies { schema: string; pipeline: DatabaseRole; api: DatabaseRole }[];
const apiRoles = services.map(({ api }) => api);
const permissionDenied = '42501';

/** A table whose rows belong to tenants, as the catalogue describes it. */
interface TenantTable {
  readonly name: string;
  readonly schema: string;
  readonly column: string;
  readonly secured: boolean;
  readonly policies: readonly string[];
}

let database: TestDatabase;
let admin: Pool;
const pools = new Map<DatabaseRole, Pool>();

beforeAll(async () => {
  database = await createTestDatabase();
  admin = createPool({ url: database.adminUrl, max: 1, applicationName: 'tenants-spec' });
  for (const role of services.flatMap(({ pipeline, api }) => [pipeline, api])) {
    const own = { url: database.url(role), applicationName: `tenants-spec-${role}` };
    pools.set(role, createPool({ ...own, max: 1, pipeline: true }));
  }
  for (const tenant of ['acme', 'globex', '']) {
    await admin.query(
      `INSERT INTO ingest.dead_letters (tenant, id, topic, record_partition, record_offset, code,
         detail, service, headers, at)
       VALUES ($1, 'dl_1', 't', 0, '0', 'bad_row', '', 'spec', '[]', now())`,
      [tenant],
    );
    await admin.query(`SELECT blobs.put($1, 'blob_1', convert_to($1, 'UTF8'), 60)`, [tenant]);
  }
  await admin.query(
    `INSERT INTO ingest.tenants (id, webhook_secrets) VALUES ('acme', 'a'), ('globex', 'g')`,
  );
});
afterAll(async () => {
  for (const pool of pools.values()) await pool.end();
  await admin.end();
  await database.drop();
});

function poolOf(role: DatabaseRole): Pool {
  const pool = pools.get(role);
  if (pool === undefined) throw new TypeError(`no pool of ${role}`);
  return pool;
}

/** The SQLSTATE that the statement fails with; null when it passes. */
async function refusal(statement: Promise<unknown>): Promise<string | null> {
  try {
    await statement;
    return null;
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : 'no code';
  }
}

async function tenantTables(): Promise<readonly TenantTable[]> {
  const { rows } = await admin.query<TenantTable>(
    `SELECT c.oid::regclass::text AS name, c.relnamespace::regnamespace::text AS schema,
       a.attname AS column, c.relrowsecurity AND c.relforcerowsecurity AS secured,
       ARRAY(SELECT polname::text FROM pg_policy WHERE polrelid = c.oid ORDER BY 1) AS policies
     FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND NOT a.attisdropped
       AND (a.attname = 'tenant' OR c.oid = 'ingest.tenants'::regclass AND a.attname = 'id')
     WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
       AND c.relnamespace::regnamespace::text = ANY($1)
     ORDER BY 1`,
    [[...services.map(({ schema }) => schema), 'blobs']],
  );
  return rows;
}

describe('every table with a column `tenant`', () => {
  it('has row level security, enabled and forced, and both policies', async () => {
    const tables = await tenantTables();
    expect(tables.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['ingest.jobs', 'ingest.dead_letters', 'worker.calls']),
    );
    const open = tables
      .filter(({ schema }) => schema !== 'blobs')
      .filter(({ secured, policies }) => !secured || policies.join() !== 'api,pipeline')
      .map(({ name }) => `put SELECT millrace_isolate_tenants('${name}'); into its migration`);
    expect(open).toEqual([]);
    expect(tables.find(({ name }) => name === 'blobs.chunks')?.secured).toBe(true);
  });

  it('is reached by nobody through one of its partitions', async () => {
    const { rows } = await admin.query<{ partition: string; role: string }>(
      `SELECT c.oid::regclass::text AS partition, role
       FROM pg_class AS c CROSS JOIN unnest($1::text[]) AS role
       WHERE c.relispartition
         AND has_table_privilege(role, c.oid, 'SELECT, INSERT, UPDATE, DELETE')`,
      [apiRoles],
    );
    expect(rows).toEqual([]);
  });
});

describe.each(services)('the roles of schema $schema', ({ schema, pipeline, api }) => {
  it('the API’s sees no row while no tenant is set', async () => {
    for (const { name, column } of await readable(api, schema)) {
      const { rows } = await poolOf(api).query(`SELECT ${column} FROM ${name}`);
      expect([name, rows]).toEqual([name, []]);
    }
  });

  it('the API’s reads no table that has rows of many tenants without saying whose', async () => {
    const guarded = (await tenantTables()).map(({ name }) => name);
    const { rows } = await admin.query<{ name: string }>(
      `SELECT c.oid::regclass::text AS name FROM pg_class AS c
       WHERE c.relkind IN ('r', 'p', 'v', 'm') AND c.relnamespace = $1::regnamespace
         AND has_any_column_privilege($2, c.oid, 'SELECT, INSERT, UPDATE')`,
      [schema, api],
    );
    expect(rows.map(({ name }) => name).filter((name) => !guarded.includes(name))).toEqual([]);
  });

  it('are nobody special, members of nothing, and own nothing', async () => {
    const { rows } = await admin.query(
      `SELECT rolname AS role,
         rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls AS special,
         EXISTS (SELECT FROM pg_auth_members WHERE member = r.oid) AS member,
         EXISTS (SELECT FROM pg_class WHERE relowner = r.oid) AS owns
       FROM pg_roles AS r WHERE rolname = ANY($1) ORDER BY 1`,
      [[pipeline, api]],
    );
    const plain = { special: false, member: false, owns: false };
    expect(rows).toEqual([
      { role: pipeline, ...plain },
      { role: api, ...plain },
    ]);
  });

  it.each([pipeline, api])('%s changes no policy, no role, and no row security', async (role) => {
    const pool = poolOf(role);
    for (const sql of [
      'ALTER TABLE ingest.jobs DISABLE ROW LEVEL SECURITY',
      'ALTER TABLE ingest.jobs NO FORCE ROW LEVEL SECURITY',
      'DROP POLICY api ON ingest.jobs',
      `ALTER ROLE ${role} BYPASSRLS`,
      'SET ROLE postgres',
      `SET SESSION AUTHORIZATION ${role === 'ingest' ? 'claude_worker' : 'ingest'}`,
      'CREATE ROLE intruder',
      `SET ROLE ${role === 'ingest' ? 'claude_worker' : 'ingest'}`,
    ]) {
      expect([sql, await refusal(pool.query(sql))]).toEqual([sql, permissionDenied]);
    }
  });
});

async function readable(role: DatabaseRole, schema: string): Promise<readonly TenantTable[]> {
  const mine: TenantTable[] = [];
  for (const table of await tenantTables()) {
    if (table.schema !== schema) continue;
    const { rows } = await admin.query<{ may: boolean }>(
      'SELECT has_column_privilege($1, $2, $3, $4) AS may',
      [role, table.name, table.column, 'SELECT'],
    );
    if (rows[0]?.may === true) mine.push(table);
  }
  return mine;
}

describe('ingest_api', () => {
  const select = { text: 'SELECT tenant, id FROM ingest.dead_letters' };
  const asTenant = () => new TenantDatabase(poolOf('ingest_api'));

  it('sees the rows of the tenant that the transaction names, and of no other', async () => {
    const { rows } = await asTenant().query('acme', select);
    expect(rows).toEqual([{ tenant: 'acme', id: 'dl_1' }]);
    expect((await asTenant().query('nobody', select)).rows).toEqual([]);
    const other = { text: `SELECT id FROM ingest.dead_letters WHERE tenant = 'globex'` };
    expect((await asTenant().query('acme', other)).rows).toEqual([]);
  });

  it('sees nothing on a connection that has just served a tenant, nor as nobody', async () => {
    await asTenant().query('acme', select);
    expect((await poolOf('ingest_api').query(select)).rows).toEqual([]);
    expect((await asTenant().query('', select)).rows).toEqual([]);
  });

  it('reads whose the tenant is, and no secret', async () => {
    const tenants = { text: 'SELECT id FROM ingest.tenants' };
    expect((await asTenant().query('acme', tenants)).rows).toEqual([{ id: 'acme' }]);
    for (const text of [
      'SELECT webhook_secrets FROM ingest.tenants',
      'SELECT key_hash FROM ingest.api_keys',
      'SELECT 1 FROM ingest.outbox',
    ]) {
      expect([text, await refusal(asTenant().query('acme', { text }))]).toEqual([
        text,
        permissionDenied,
      ]);
    }
  });

  it('reads blobs of its tenant alone, and cannot name another', async () => {
    const own = { text: `SELECT convert_from(blobs.get_own('blob_1'), 'UTF8') AS body` };
    expect((await asTenant().query('acme', own)).rows).toEqual([{ body: 'acme' }]);
    expect((await poolOf('ingest_api').query(own)).rows).toEqual([{ body: null }]);
    for (const text of [
      `SELECT blobs.get('globex', 'blob_1')`,
      `SELECT blobs.put('acme', 'blob_2', '', 60)`,
      'SELECT blobs.purge(1)',
    ]) {
      expect([text, await refusal(asTenant().query('acme', { text }))]).toEqual([
        text,
        permissionDenied,
      ]);
    }
  });

  it('answers each of many callers with their own rows, on one connection', async () => {
    const tenants = Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? 'acme' : 'globex'));
    const found = await Promise.all(tenants.map((tenant) => asTenant().query(tenant, select)));
    const own = tenants.map((tenant) => [{ tenant, id: 'dl_1' }]);
    expect(found.map(({ rows }) => rows)).toEqual(own);
  });

  it('goes on after a statement that failed', async () => {
    const wrong = asTenant().query('acme', { text: 'SELECT 1 / 0' });
    expect(await refusal(wrong)).toBe('22012');
    expect((await asTenant().query('globex', select)).rows).toEqual([
      { tenant: 'globex', id: 'dl_1' },
    ]);
  });

  it('writes no row of another tenant, even with the grant', async () => {
    await admin.query('GRANT INSERT, UPDATE, DELETE ON ingest.sessions TO ingest_api');
    const insert = (tenant: string) => ({
      text: 'INSERT INTO ingest.sessions (tenant, id, last_seq) VALUES ($1, $2, 1)',
      values: [tenant, 's'],
    });
    expect(await refusal(asTenant().query('acme', insert('acme')))).toBeNull();
    expect(await refusal(asTenant().query('acme', insert('globex')))).toBe(permissionDenied);
    expect(await refusal(poolOf('ingest_api').query(insert('acme')))).toBe(permissionDenied);
    const take = { text: `UPDATE ingest.sessions SET tenant = 'globex'` };
    expect(await refusal(asTenant().query('acme', take))).toBe(permissionDenied);
    const remove = { text: 'DELETE FROM ingest.sessions' };
    expect((await asTenant().query('globex', remove)).rowCount).toBe(0);
  });
});

describe('a pipeline’s role', () => {
  it('sees and writes the rows of all tenants, with no tenant set', async () => {
    const { rows } = await poolOf('ingest').query(
      `SELECT tenant FROM ingest.dead_letters ORDER BY tenant`,
    );
    expect(rows).toEqual([{ tenant: '' }, { tenant: 'acme' }, { tenant: 'globex' }]);
    const moved = await poolOf('ingest').query(
      `UPDATE ingest.dead_letters SET detail = 'seen' RETURNING tenant`,
    );
    expect(moved.rowCount).toBe(3);
  });
});

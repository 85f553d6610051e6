import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import {
  defaultTenant,
  IdentityPayloadCodec,
  jobIdSchema,
  tenantIdSchema,
} from '@millrace/contracts';
import { createPool, TenantDatabase, type Pool } from '@millrace/postgres';
import { SilentLogger } from '@millrace/runtime';
import { createTestDatabase, type TestDatabase } from '@millrace/testing';

import type { RunEntry } from '../core/live-run.ts';
import type { ToldRun } from '../ports.ts';
import { PostgresToldRuns } from './postgres-told-runs.ts';

jest.setTimeout(60_000);

let database: TestDatabase;
let pool: Pool;
let apiPool: Pool;
let runs: PostgresToldRuns;

beforeAll(async () => {
  database = await createTestDatabase();
  pool = createPool({ url: database.url('ingest'), max: 2, applicationName: 'spec' });
  apiPool = createPool({ url: database.url('ingest_api'), max: 2, applicationName: 'spec' });
  runs = new PostgresToldRuns({
    pool,
    own: new TenantDatabase(apiPool),
    codec: new IdentityPayloadCodec(),
    log: new SilentLogger(),
  });
});

afterAll(async () => {
  await Promise.all([pool?.end(), apiPool?.end()]);
  await database?.drop();
});

const other = tenantIdSchema.parse('other');
const name = (id: string, tenant = defaultTenant) => ({ tenant, id: jobIdSchema.parse(id) });
const entries = (text: string): RunEntry[] => [
  { kind: 'text', live: { turn: 1, attempt: 1, text } },
];
const run = (id: string, text: string, agoMs = 0): ToldRun => ({
  ...name(id),
  json: JSON.stringify(entries(text)),
  finishedAt: new Date(Date.now() - agoMs).toISOString(),
});

describe('what was told of jobs that have ended', () => {
  it('is found by its tenant alone', async () => {
    await runs.keep([run('a', 'text of a\u0000'), run('b', 'text of b')]);
    expect(await runs.find(name('a'))).toEqual(entries('text of a\u0000'));
    expect(await runs.find(name('a', other))).toEqual([]);
    expect(await runs.find(name('c'))).toEqual([]);
  });

  it('stays the longer one when its end comes again, also twice at once', async () => {
    await runs.keep([run('again', 'all of it'), run('again', 'all of it')]);
    await runs.keep([run('again', 'some')]);
    expect(await runs.find(name('again'))).toEqual(entries('all of it'));
    await runs.keep([run('again', 'all of it, and more')]);
    expect(await runs.find(name('again'))).toEqual(entries('all of it, and more'));
  });

  it('is kept whole when it is more than one statement may be', async () => {
    const large = 'x'.repeat(3 * 1024 * 1024);
    const names = ['l1', 'l2', 'l3'];
    await runs.keep(names.map((id) => run(id, large + id)));
    for (const id of names) expect(await runs.find(name(id))).toEqual(entries(large + id));
  });

  it('is nothing when its row cannot be read, and is gone a day after the end', async () => {
    await pool.query(`UPDATE ingest.told_runs SET run = 'no run' WHERE job_id = 'b'`);
    expect(await runs.find(name('b'))).toEqual([]);
    const dayMs = 24 * 3_600_000;
    const old = Array.from({ length: 501 }, (_, n) => run(`old-${n}`, 'x', dayMs + 1_000));
    await runs.keep([...old, run('young', 'x', dayMs - 60_000)]);
    expect(await runs.purge()).toBe(501);
    expect(await runs.find(name('old-1'))).toEqual([]);
    expect(await runs.find(name('young'))).toEqual(entries('x'));
  });
});

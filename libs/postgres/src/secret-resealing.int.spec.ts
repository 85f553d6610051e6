import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { tenantSecretsPlace } from '@millrace/contracts';
import { SecretBox, SilentLogger } from '@millrace/runtime';
import { createTestDatabase, type TestDatabase } from '@millrace/testing';

import {
  columnReseal,
  createPool,
  SecretResealing,
  tenantSecretsColumn,
  type Pool,
  type ResealPass,
} from './index.ts';

jest.setTimeout(60_000);

const [older, newer, foreign] = [1, 2, 3].map((byte) =>
  Buffer.alloc(32, byte).toString('base64url'),
);
const clear = new SecretBox();
const before = new SecretBox([older!]);
const after = new SecretBox([newer!, older!]);
const column = tenantSecretsColumn('tools');

let database: TestDatabase;
let pool: Pool;

beforeAll(async () => {
  database = await createTestDatabase();
  pool = createPool({ url: database.url('tool_runner'), max: 3, applicationName: 'spec' });
});
beforeEach(async () => {
  await pool.query('DELETE FROM tools.tenants');
});
afterAll(async () => {
  await pool.end();
  await database.drop();
});

async function keep(tenant: string, box: SecretBox, secret = `secret of ${tenant}`): Promise<void> {
  await pool.query(
    `INSERT INTO tools.tenants (tenant, secrets, changed_at) VALUES ($1, $2, now())
     ON CONFLICT (tenant) DO UPDATE SET secrets = excluded.secrets`,
    [tenant, box.seal(secret, tenantSecretsPlace(tenant))],
  );
}

/** What each tenant's secret is under the newer key alone; null when it is not sealed under it. */
async function read(): Promise<Record<string, string | null>> {
  const { rows } = await pool.query<{ tenant: string; secrets: Buffer }>(
    'SELECT tenant, secrets FROM tools.tenants ORDER BY tenant',
  );
  const box = new SecretBox([newer!]);
  return Object.fromEntries(
    rows.map(({ secrets, tenant }) => {
      const isFresh = secrets.subarray(0, box.mark.length).equals(box.mark);
      return [tenant, isFresh ? box.open(secrets, tenantSecretsPlace(tenant)) : null];
    }),
  );
}

const pass = (box = after): ResealPass => columnReseal({ pool, box, column });
const goOn = () => false;

describe('sealing a column anew', () => {
  it('takes what is in clear and what an older key sealed, once, and leaves the rest', async () => {
    await keep('a', clear);
    await keep('b', before);
    await keep('c', after);
    await keep('d', new SecretBox([foreign!]));
    expect(await pass().run(goOn)).toEqual({ resealed: 2, unreadable: 1 });
    const [a, b, c] = ['secret of a', 'secret of b', 'secret of c'];
    expect(await read()).toEqual({ a, b, c, d: null });
    expect(await pass().run(goOn)).toEqual({ resealed: 0, unreadable: 1 });
  });

  it('goes on where it was stopped, whatever the number of rows', async () => {
    for (let n = 0; n < 450; n += 1) await keep(`t${n}`, n % 2 === 0 ? clear : before);
    let looks = 0;
    // Two batches, and then a stop.
    const stopped = await pass().run(() => (looks += 1) > 2);
    expect(stopped).toEqual({ resealed: 400, unreadable: 0 });
    const both = await Promise.all([pass().run(goOn), pass().run(goOn)]);
    // Both may have read the same rows: each was written by one of them.
    expect(both.reduce((sum, { resealed }) => sum + resealed, 0)).toBe(50);
    const known = await read();
    expect(Object.entries(known).filter(([t, text]) => text !== `secret of ${t}`)).toEqual([]);
  });

  it('does not undo a change that came between reading and writing', async () => {
    await keep('a', before, 'of before');
    let change: Promise<void> | undefined;
    const client = pool.query.bind(pool);
    const watched = Object.assign(Object.create(pool), {
      // The change is there before the statement that writes what was read before it.
      query: async (query: { text: string }) => {
        if (query.text.includes('UPDATE')) await (change ??= keep('a', after, 'rotated'));
        return client(query);
      },
    });
    const between = columnReseal({ pool: watched, box: after, column });
    expect(await between.run(goOn)).toEqual({ resealed: 0, unreadable: 0 });
    expect(await read()).toEqual({ a: 'rotated' });
  });
});

describe('the secrets of a service after its start', () => {
  it('are sealed anew pass by pass, again after a failure, and never without a key', async () => {
    await keep('a', clear);
    let tries = 0;
    const flaky: ResealPass = {
      name: 'flaky',
      run: () => {
        tries += 1;
        if (tries < 3) return Promise.reject(new Error('Postgres is away'));
        return Promise.resolve({ resealed: 0, unreadable: 0 });
      },
    };
    const options = { log: new SilentLogger(), againMs: 1 };
    const idle = new SecretResealing({ ...options, box: clear, passes: [flaky] });
    idle.start();
    await idle.ended();
    expect(tries).toBe(0);
    const resealing = new SecretResealing({ ...options, box: after, passes: [flaky, pass()] });
    resealing.start();
    await resealing.ended();
    expect([tries, await read()]).toEqual([3, { a: 'secret of a' }]);
  });

  it('do not hold up a stop', async () => {
    const failing: ResealPass = { name: 'failing', run: () => Promise.reject(new Error('away')) };
    const options = { box: after, passes: [failing, pass()], log: new SilentLogger() };
    const resealing = new SecretResealing({ ...options, againMs: 3_600_000 });
    await keep('a', clear);
    resealing.start();
    await resealing.stop();
    expect(await read()).toEqual({ a: null });
  });
});

import { createPool, GroupCommit } from '@millrace/postgres';
import { createTestDatabase } from '../testing/src/test-database.ts';
import { WorkQueue } from './src/index.ts';
const db = await createTestDatabase();
const pool = createPool({ url: db.adminUrl, max: 6, applicationName: 'b' });
await pool.query(`CREATE SCHEMA tasks; CREATE TABLE tasks.processes (LIKE worker.processes INCLUDING ALL);
CREATE TABLE tasks.tasks (id text PRIMARY KEY, status text NOT NULL DEFAULT 'waiting', owner text, attempt int NOT NULL DEFAULT 0, not_before timestamptz NOT NULL DEFAULT '-infinity', note text);
CREATE INDEX ON tasks.tasks(id) WHERE status='waiting';`);
const N = Number(process.argv[2]), slots = Number(process.argv[3]), ms = Number(process.argv[4]);
await pool.query(`INSERT INTO tasks.tasks (id) SELECT 't'||i FROM generate_series(1,$1) i`, [N]);
const sizes: number[] = [];
const gc = new GroupCommit<any, void>({ name: 't', pool, keyOf: (x) => x.id, commit: async (c, items) => {
  sizes.push(items.length);
  await c.query({ name: 's', text: `UPDATE tasks.tasks t SET status='done', owner=NULL FROM unnest($1::text[]) s(id) WHERE t.id=s.id`, values: [items.map((i: any) => i.id)] });
  return items.map(() => undefined);
}});
let done = 0; const claims: number[] = []; const cms: number[] = [];
const t0 = performance.now(); const cpu0 = process.cpuUsage();
const q = new WorkQueue<any, any>({ name: 't', schema: 'tasks', pool, slotsMax: slots, log: console as any,
  onEvent: (e) => { if (e.type === 'claimed') { claims.push(e.rows); cms.push(e.ms); } if (e.type === 'settled' && ++done === N) finish(); },
  policy: {
    claim: async ({ owner, limit }) => {
      const { rows } = await pool.query({ name: 'c', text: `UPDATE tasks.tasks SET status='running', owner=$1, attempt=attempt+1 WHERE id IN (SELECT id FROM tasks.tasks WHERE status='waiting' AND not_before<=clock_timestamp() ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING id`, values: [owner, limit] });
      return { rows, nextDueInMs: null };
    },
    run: () => ms === 0 ? Promise.resolve(1) : new Promise((r) => setTimeout(r, ms, 1)),
    crashed: () => 0, settle: (row) => gc.submit(row), cancelRequested: async () => [], reap: async () => 0 } });
await q.start();
function finish() {
  const s = (performance.now() - t0) / 1000; const c = process.cpuUsage(cpu0);
  console.log({ rows: N, slots, ms, perS: Math.round(N / s), cpuMsPer1000: ((c.user + c.system) / 1000 / N * 1000).toFixed(0), claims: claims.length, avgClaim: (claims.reduce((a, b) => a + b, 0) / claims.length).toFixed(0), claimMs: (cms.reduce((a, b) => a + b, 0) / cms.length).toFixed(1), settles: sizes.length, avgSettle: (N / sizes.length).toFixed(0) });
  void q.stop({ deadlineMs: 1000 }).then(async () => { await pool.end(); await db.drop(); });
}

/**
 * What endpoints that hang, and the backlog of a tenant whose endpoint is slow, do to those of
 * others: the time from an event to its POST at healthy endpoints, before and beside them.
 */
import { allArrived } from './arrivals.mjs';
import { percentile } from './figures.mjs';
import { finishedJob, publishAll, publishPaced } from './finished-jobs.mjs';

const backlogged = 'backlogged';
const lookEveryMs = 100;
/** Windows in which lanes and connections are new, or begin to hang. */
const uncounted = 2;

/**
 * @typedef {object} Tenant
 * @property {string} id
 * @property {number} healthy endpoints that answer
 *
 * @typedef {object} IsolationSize
 * @property {number} tenants
 * @property {number} endpointsEach
 * @property {number} hanging of all of them, each of another tenant
 * @property {number} backlog deliveries of one more tenant, whose one endpoint is slow
 * @property {number} perSecond POSTs to the endpoints of the tenants
 * @property {number} seconds of a window
 * @property {number} windows before the faults, and beside them
 */

/**
 * By the API, as tenants make them.
 * @param {import('./bench-stack.mjs').Bench} bench
 * @param {IsolationSize} size
 * @returns {Promise<Tenant[]>}
 */
export async function makeEndpoints(bench, { tenants, endpointsEach, hanging }) {
  const made = [];
  for (let n = 0; n < tenants; n += 1) {
    const id = `t${n}`;
    const healthy = endpointsEach - (n < hanging ? 1 : 0);
    const names = Array.from({ length: healthy }, (_, m) => `${id}-e${m}`);
    await makeTenant(bench, id, n < hanging ? [...names, `hang/${id}`] : names);
    made.push({ id, healthy });
  }
  await makeTenant(bench, backlogged, [`slow/${backlogged}`]);
  return made;
}

async function makeTenant({ receiver, stack }, id, names) {
  const post = async (path, key, body) => {
    const response = await fetch(`${stack.urls.api}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${path} was answered with ${await response.text()}`);
    return response.json();
  };
  await post('/v1/tenants', stack.adminKey, { id });
  const { key } = await post('/v1/api-keys', stack.adminKey, { tenant: id, label: 'bench' });
  for (const name of names) {
    const url = `http://127.0.0.1:${receiver.port}/${name}`;
    await post('/v1/webhook-endpoints', key, { url });
  }
}

/**
 * @param {import('./bench-stack.mjs').Bench} bench
 * @param {readonly Tenant[]} tenants
 * @param {IsolationSize & { database: import('pg').Client }} size
 * @returns {Promise<{ alone: number[], beside: number[], note: string }>} p99 of each window, ms
 */
export async function besideFaults(bench, tenants, { database, ...size }) {
  const windows = async (label) => {
    const p99s = [];
    for (let n = 0; n < uncounted + size.windows; n += 1) {
      const added = await aWindow(bench, tenants, { ...size, label: `${label}-${n}` });
      p99s.push(percentile(added, 99));
    }
    return p99s.slice(uncounted);
  };
  const alone = await windows('alone');
  await bench.receiver.ask('hang');
  await makeBacklog(bench, { database, count: size.backlog });
  const waitingFirst = await waitingOf(database);
  const beside = await windows('beside');
  const waitingLast = await waitingOf(database);
  const share = `${size.hanging} of ${size.tenants * size.endpointsEach} endpoints hang`;
  const note = `${share}; waiting of one tenant: ${waitingFirst}, at the end ${waitingLast}`;
  return { alone, beside, note };
}

/** @returns {Promise<number[]>} milliseconds from each event to each of its healthy POSTs */
async function aWindow(bench, tenants, { endpointsEach, label, perSecond, seconds }) {
  await bench.receiver.ask('clear');
  const eventsPerSecond = perSecond / endpointsEach;
  const events = Array.from({ length: eventsPerSecond * seconds }, (_, n) => ({
    tenant: tenants[n % tenants.length],
    id: `${label}-${n}`,
  }));
  const records = events.map(({ id, tenant }) => finishedJob({ id, tenant: tenant.id }));
  const publishedAt = await publishPaced(bench, { records, perSecond: eventsPerSecond });
  const expected = events.reduce((sum, { tenant }) => sum + tenant.healthy, 0);
  const { arrivals } = await allArrived(bench, expected);
  return arrivals.map(([key, at]) => at - publishedAt.get(key.split(' ')[1]));
}

async function makeBacklog(bench, { count, database }) {
  const records = Array.from({ length: count }, (_, n) =>
    finishedJob({ id: `backlog-${n}`, tenant: backlogged }),
  );
  await publishAll(bench, records);
  const sql = 'SELECT count(*)::int AS made FROM dispatcher.deliveries WHERE tenant = $1';
  for (;;) {
    const { rows } = await database.query(sql, [backlogged]);
    if (rows[0].made >= count) return;
    await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
  }
}

async function waitingOf(database) {
  const { rows } = await database.query(
    `SELECT count(*)::int AS waiting FROM dispatcher.deliveries
     WHERE tenant = $1 AND state = 'waiting'`,
    [backlogged],
  );
  return rows[0].waiting;
}

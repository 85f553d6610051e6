/**
 * What webhook-dispatcher does by itself: ended jobs are published as records of
 * `jobs.finished.v1`, on a stack of its own, and a labelled receiver notes what comes.
 * ingest is there to make tenants and endpoints, and is down while deliveries are counted.
 *
 * What is counted: deliveries/s from the first publish to the last POST, and the statements that
 * Postgres counted meanwhile; at half of the goal's rate the time from a publish to its POST; and
 * what endpoints that hang and another tenant's backlog do to that time.
 */
import { allArrived, now } from './arrivals.mjs';
import { openBench } from './bench-stack.mjs';
import { cpuNow, cpuOfRuns, cpuPerThousand, pidsOf, printCpu } from './cpu-time.mjs';
import { figure, median, percentile, round } from './figures.mjs';
import { finishedJob, publishAll, publishPaced } from './finished-jobs.mjs';
import { countingSettings, countStatements } from './statement-count.mjs';
import { besideFaults, makeEndpoints } from './webhook-isolation.mjs';

/** Half of the 500/s that are the goal. */
const halfLoad = 250;
/** Runs become faster as V8 and the JVM compile: see the pipeline's bench. */
const fullSize = {
  deliveries: 5_000,
  runs: 3,
  warmUp: 20_000,
  paced: { perSecond: halfLoad, seconds: 20 },
  isolation: {
    tenants: 20,
    endpointsEach: 10,
    hanging: 2,
    backlog: 10_000,
    perSecond: halfLoad,
    seconds: 6,
    windows: 5,
  },
};
const shortSize = {
  deliveries: 300,
  runs: 1,
  warmUp: 300,
  paced: { perSecond: 100, seconds: 1 },
  isolation: {
    tenants: 2,
    endpointsEach: 10,
    hanging: 1,
    backlog: 300,
    perSecond: 100,
    seconds: 1,
    windows: 1,
  },
};
const role = 'webhook_dispatcher';

/**
 * @param {{ short: boolean, cpuProf?: string }} options
 * @returns the rows of the figures
 */
export async function benchWebhooks({ short, cpuProf }) {
  const size = short ? shortSize : fullSize;
  const bench = await openBench({
    cpuProf,
    services: ['ingest', 'webhook-dispatcher'],
    postgresSettings: countingSettings,
  });
  const statements = await countStatements(bench.stack, role);
  try {
    const tenants = await makeEndpoints(bench, size.isolation);
    await bench.stack.down('ingest');
    await inBulk(bench, statements, { count: size.warmUp, label: 'warm-up' });
    const runs = [];
    for (let n = 1; n <= size.runs; n += 1) {
      runs.push(await inBulk(bench, statements, { count: size.deliveries, label: `run-${n}` }));
    }
    const added = await addedLatency(bench, size.paced);
    const { alone, beside, note } = await besideFaults(bench, tenants, {
      ...size.isolation,
      database: statements.client,
    });
    printCpu('deliveries', runs);
    const atRate = `at ${size.paced.perSecond}/s, n = ${added.length}`;
    return [
      figure('webhooks/deliveries', ...rateOf(runs)),
      figure('webhooks/statements-per-delivery', runs.map((run) => run.statements), 'in bulk'),
      figure('webhooks/cpu-per-1000-deliveries', ...cpuOfRuns(runs, 'Kafka and Postgres in it')),
      figure('webhooks/added-latency-p50', [percentile(added, 50)], atRate),
      figure('webhooks/added-latency-p99', [percentile(added, 99)], atRate),
      figure('webhooks/healthy-p99-alone', alone, 'nothing hangs and nothing waits'),
      figure('webhooks/healthy-p99-beside-faults', beside, note),
      figure('webhooks/healthy-p99-ratio', [median(beside) / median(alone)], 'of the two above'),
    ];
  } finally {
    await statements.stop();
    await bench.close();
  }
}

/** What came twice is no throughput: it is said beside the figure. */
function rateOf(runs) {
  const duplicates = runs.reduce((sum, run) => sum + run.duplicates, 0);
  const note = `stretch 1,500; to one receiver, in it; that came twice: ${duplicates}`;
  return [runs.map(({ rate }) => rate), note];
}

async function inBulk(bench, statements, { count, label }) {
  await bench.receiver.ask('clear');
  const records = callbacks(bench, count, label);
  const pids = pidsOf(bench, { receiver: bench.receiver.pid });
  const [cpuBefore, statementsBefore] = [cpuNow(pids), await statements.soFar()];
  const startedAt = now();
  await publishAll(bench, records);
  const { arrivals, duplicates } = await allArrived(bench, count);
  await settled(statements);
  const cpu = cpuPerThousand(cpuBefore, cpuNow(pids), count);
  const sent = (await statements.soFar()) - statementsBefore;
  const rate = (count * 1000) / (Math.max(...arrivals.map(([, at]) => at)) - startedAt);
  console.log(`  ${count} deliveries: ${round(rate)}/s, ${sent} statements`);
  return { name: label, rate, duplicates, cpu, statements: sent / count };
}

/** The last attempts are still to be written when their POSTs have come. */
async function settled({ client }) {
  for (;;) {
    const { rows } = await client.query(
      `SELECT count(*)::int AS open FROM dispatcher.deliveries
       WHERE ended_at IS NULL`,
    );
    if (rows[0].open === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function addedLatency(bench, { perSecond, seconds }) {
  await bench.receiver.ask('clear');
  const records = callbacks(bench, perSecond * seconds, 'paced');
  const publishedAt = await publishPaced(bench, { records, perSecond });
  const { arrivals } = await allArrived(bench, records.length);
  return arrivals.map(([job, at]) => at - publishedAt.get(job));
}

function callbacks({ receiver }, count, label) {
  const callback = `http://127.0.0.1:${receiver.port}/`;
  return Array.from({ length: count }, (_, n) => finishedJob({ id: `${label}-${n}`, callback }));
}

import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import {
  armFailpoint,
  failpointReached,
  type ArmedFailpoint,
} from '@millrace/runtime';
import { ChildProgram, failpointsIn } from '@millrace/testing';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import pg from 'pg';

import { OrchestratorWorld, type Script } from './orchestrator-world.fixture.ts';
import { faultsOfRuns, openRowsOfRuns } from './settled-runs.fixture.ts';

jest.setTimeout(180_000);

/** Every await of the loop that touches Postgres or Kafka, from one side or from both. */
const names = [
  'workflows.loading',
  'workflows.loaded',
  'workflows.body-putting',
  'workflows.body-put',
  'workflows.committing',
  'workflows.committed',
  'step.publishing',
  'step.published',
  'timers.taken',
  'timers.applied',
  'outbox.publishing',
  'outbox.published',
] as const;
/** What the loop is made of beside this service's own code. */
const libs = ['libs/kafka/src', 'libs/postgres/src'];
const visits = [1, 2] as const;
/** Before and after the commit, and before the offset: a process each, whose start takes time. */
const crashes = (['workflows.committing', 'workflows.committed', 'step.published'] as const).map(
  (name) => ({ name, action: 'crash', visit: 2 }) as const,
);
/** Timers go to whichever process looks first, so work comes until the place was passed. */
const workEveryMs = 700;

const looks: Script = { turns: [[{ name: 'look', input: { at: 1 } }]] };
const waits: Script = { turns: [[{ name: 'held', input: { at: 1 } }]] };
/** Large enough to be put into `blobs`. */
const large = [{ role: 'user', content: 'x'.repeat(300_000) }];

let world: OrchestratorWorld;
let admin: pg.Pool;
let app: NestFastifyApplication | undefined;
let submitted = 0;
const reached = new Set<string>();

beforeAll(async () => {
  world = await OrchestratorWorld.start();
  admin = new pg.Pool({ connectionString: world.database.adminUrl });
  await world.fakeWorker((id) => (id.startsWith('late') ? waits : looks));
  await world.fakeTools();
});

afterAll(async () => {
  await admin?.end();
  await world?.stop();
});

/** A run that is large, and one that its time ends. */
async function work(): Promise<void> {
  submitted += 1;
  await Promise.all([
    world.submit(`fail-${submitted}`, { params: { tools: ['look'], messages: large } }),
    world.submit(`late-${submitted}`, {
      params: { tools: ['held'] },
      budget: { seconds: 1, on_reached: 'fail' },
    }),
  ]);
}

function start(place: ArmedFailpoint): ChildProgram {
  const file = join(import.meta.dirname, 'orchestrator-process.fixture.ts');
  const armed = nameOf(place);
  return ChildProgram.start(file, [world.isolated.prefix, `${armed.replaceAll(':', '-')}.`], {
    ...world.environment(),
    HTTP_PORT: '0',
    LOG_LEVEL: 'error',
    MILLRACE_FAILPOINT: armed,
  });
}

/** Gives work until a place was passed. */
async function workUntil(hit: Promise<unknown>): Promise<void> {
  let isReached = false;
  const waiting = hit.then(() => (isReached = true));
  while (!isReached) {
    await work();
    await Promise.race([waiting, new Promise((resolve) => setTimeout(resolve, workEveryMs))]);
  }
}

/** Starts a process, and gives it work until it has failed where it was told to. */
async function failAt(place: ArmedFailpoint): Promise<void> {
  const child = start(place);
  try {
    await workUntil(child.hears(failpointReached(place)));
    await child.gone();
  } finally {
    await child.kill();
  }
}

const nameOf = ({ action, name, visit }: ArmedFailpoint) => `${name}:${action}:${visit}`;

const places = names.flatMap((name) =>
  visits.map((visit): ArmedFailpoint => ({ name, action: 'throw', visit })),
);

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 50));
}

describe('agent-orchestrator that fails at every await of its loop', () => {
  it.each(places)('goes on after an error at $name, visit $visit', async (place) => {
    app ??= await world.startOrchestrator();
    await workUntil(armFailpoint(place));
    reached.add(nameOf(place));
  });

  it.each(crashes)('is followed by another process after a crash at $name', async (place) => {
    await failAt(place);
  });

  it('has failed at every place that there is, twice', () => {
    expect([...names].sort()).toEqual(failpointsIn(['apps/agent-orchestrator/src', ...libs]));
    expect(places.filter((place) => !reached.has(nameOf(place)))).toEqual([]);
  });

  it('ends every run once, when one process is left in peace', async () => {
    void armFailpoint(undefined);
    app ??= await world.startOrchestrator();
    const told = () => new Set(world.results.messages.map(({ key }) => String(key)));
    await until(() => told().size === 2 * submitted);
    await until(async () => (await openRowsOfRuns(admin, '%')) === 0);
    expect(await faultsOfRuns(admin, '%')).toEqual([]);
    const ids = new Set(world.results.messages.map(({ headers }) => headers['ce_id']));
    expect(ids.size).toBe(2 * submitted);
  });
});

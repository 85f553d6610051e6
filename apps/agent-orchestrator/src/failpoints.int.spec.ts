import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import {
  allFailures,
  ChildProgram,
  failEverywhere,
  failpointsIn,
  FailpointLane,
  failuresOfRun,
  placeOf,
  takeOverOffsets,
} from '@millrace/testing';
import pg from 'pg';

import { OrchestratorWorld, type Script } from './orchestrator-world.fixture.ts';
import { faultsOfRuns, openRowsOfRuns } from './settled-runs.fixture.ts';

/** All of it takes some minutes: `npm run failpoints`. */
jest.setTimeout(900_000);

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
/** Worlds that fail side by side; a process that starts has one core to itself. */
const lanesMax = 3;
/** From the last failure on: what waits for a timer of somebody who is dead is taken up by then. */
const endedWithinMs = 120_000;

const looks: Script = { turns: [[{ name: 'look', input: { at: 1 } }]] };
const waits: Script = { turns: [[{ name: 'held', input: { at: 1 } }]] };
/** Large enough to be put into `blobs`. */
const large = [{ role: 'user', content: 'x'.repeat(300_000) }];

/** An orchestrator that fails, its model, its tools, and what they were given to do. */
class FailingWorld {
  readonly lane = new FailpointLane(this);
  readonly #admin: pg.Pool;
  #submitted = 0;

  private constructor(private readonly world: OrchestratorWorld) {
    this.#admin = new pg.Pool({ connectionString: world.database.adminUrl });
  }

  static async create(): Promise<FailingWorld> {
    const world = await OrchestratorWorld.start();
    await world.fakeWorker((id) => (id.startsWith('late') ? waits : looks));
    await world.fakeTools();
    return new FailingWorld(world);
  }

  async start(nth: number): Promise<ChildProgram> {
    const { brokers, prefix } = this.world.isolated;
    const groups = { from: `${prefix}g${nth - 1}.`, to: `${prefix}g${nth}.` };
    await takeOverOffsets({ brokers, topicPrefix: prefix, ...groups });
    const file = join(import.meta.dirname, 'orchestrator-process.fixture.ts');
    return ChildProgram.start(file, [prefix, `g${nth}.`], {
      ...this.world.environment(),
      HTTP_PORT: '0',
      LOG_LEVEL: 'error',
    });
  }

  /** A run that is large, and one that its time ends. */
  async work(): Promise<void> {
    this.#submitted += 1;
    await Promise.all([
      this.world.submit(`fail-${this.#submitted}`, {
        params: { tools: ['look'], messages: large },
      }),
      this.world.submit(`late-${this.#submitted}`, {
        params: { tools: ['held'] },
        budget: { seconds: 1, on_reached: 'fail' },
      }),
    ]);
  }

  /** Waits until every run was told to have ended. @returns what is not as it has to be then */
  async faults(): Promise<string[]> {
    const jobs = 2 * this.#submitted;
    const deadlineMs = performance.now() + endedWithinMs;
    while (this.told('key').size < jobs || (await openRowsOfRuns(this.#admin, '%')) > 0) {
      if (performance.now() > deadlineMs) break;
      await delay(50);
    }
    const open = await openRowsOfRuns(this.#admin, '%');
    const [runs, ends] = [this.told('key').size, this.told('ce_id').size];
    return [
      ...(await faultsOfRuns(this.#admin, '%')),
      ...(open === 0 ? [] : [`${open} timers and messages are left`]),
      ...(runs === jobs ? [] : [`of ${jobs} runs ${runs} have ended`]),
      ...(ends === runs ? [] : [`${runs} runs have ${ends} ends`]),
    ];
  }

  private told(what: 'key' | 'ce_id'): Set<string | undefined> {
    const { messages } = this.world.results;
    return new Set(
      messages.map(({ headers, key }) => (what === 'key' ? String(key) : headers[what])),
    );
  }

  async stop(): Promise<void> {
    await this.lane.stop();
    await this.#admin.end();
    await this.world.stop();
  }
}

const places = failuresOfRun(names);
const worlds: FailingWorld[] = [];
let faults: ReadonlyMap<string, unknown>;

beforeAll(async () => {
  worlds.push(
    ...(await Promise.all(Array.from({ length: lanesMax }, () => FailingWorld.create()))),
  );
  const lanes = worlds.map(({ lane }) => lane);
  faults = await failEverywhere({ service: 'agent-orchestrator', places, lanes });
});
afterAll(async () => {
  await Promise.all(worlds.map((world) => world.stop()));
});

describe('agent-orchestrator that fails at every await of its loop', () => {
  it.each(places.map(placeOf))('fails at %s, and goes on or is followed by another', (place) => {
    expect(faults.get(place)).toBeUndefined();
  });

  it('has cases for every place that there is, and each way to fail there', () => {
    expect([...names].sort()).toEqual(failpointsIn(['apps/agent-orchestrator/src', ...libs]));
    const all = allFailures(names).map(placeOf);
    expect(new Set(all).size).toBe(names.length * 6);
    expect(all).toEqual(expect.arrayContaining(places.map(placeOf)));
  });

  it('ends every run once, when one process is left in peace', async () => {
    const found = await Promise.all(worlds.map((world) => world.faults()));
    expect(found.flat()).toEqual([]);
  });
});

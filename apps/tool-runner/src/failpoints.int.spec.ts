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

import { RunningToolRunner } from './running-tool-runner.fixture.ts';
import { ToolServer } from './tool-server.fixture.ts';

/** All of it takes some minutes: `npm run failpoints`. */
jest.setTimeout(900_000);

/** What a call goes through, from one side or from both of each effect. */
const names = [
  'executions.inserting',
  'executions.inserted',
  'executions.claiming',
  'executions.claimed',
  'execution.sending',
  'execution.sent',
  'executions.settling',
  'executions.settled',
  'step.publishing',
  'step.published',
  'outbox.publishing',
  'outbox.published',
] as const;
/** What it is made of beside this service's own code. */
const libs = ['libs/kafka/src', 'libs/postgres/src', 'libs/work/src'];
/** Runners that fail side by side; a process that starts has one core to itself. */
const lanesMax = 3;
const retries = 5;
/** Processes that a call may cost, as `execution-policy.ts` has it. */
const lostMax = 5;
/** From the last failure on: the rows of processes that died are reaped by then. */
const endedWithinMs = 120_000;

/** Of so many calls those that have not ended, or are not there yet, and messages. */
const openSql = `
SELECT $1::int - (SELECT count(*) FROM tools.executions WHERE state = 'ended')::int
  + (SELECT count(*) FROM tools.outbox)::int AS open`;

/** A tool-runner that fails, its tools, and the calls that it was asked for. */
class FailingRunner {
  readonly lane = new FailpointLane(this);
  readonly #calls: string[] = [];
  readonly #admin: pg.Pool;

  private constructor(
    private readonly runner: RunningToolRunner,
    private readonly server: ToolServer,
  ) {
    this.#admin = new pg.Pool({ connectionString: runner.database.adminUrl });
  }

  /** One tool answers at once, the other at its second attempt, which has to be claimed. */
  static async create(): Promise<FailingRunner> {
    const [runner, server] = await Promise.all([
      RunningToolRunner.start({}, { consumes: false }),
      ToolServer.listen(),
    ]);
    server.answers('/once', (response) => response.end('done'));
    server.answers('/twice', (response, { body }) => {
      response.writeHead(body.attempt === 1 ? 503 : 200).end('done');
    });
    for (const name of ['once', 'twice']) {
      await runner.register(name, server.url(`/${name}`), { retries });
    }
    return new FailingRunner(runner, server);
  }

  async start(nth: number): Promise<ChildProgram> {
    const { brokers, prefix } = this.runner.kafka;
    const groups = { from: `${prefix}g${nth - 1}.`, to: `${prefix}g${nth}.` };
    await takeOverOffsets({ brokers, topicPrefix: prefix, ...groups });
    const file = join(import.meta.dirname, 'tool-runner-process.fixture.ts');
    return ChildProgram.start(file, [prefix, '0', `g${nth}.`], {
      ...this.runner.environment(),
      HTTP_PORT: '0',
      LOG_LEVEL: 'error',
    });
  }

  async work(): Promise<void> {
    const asked = ['once', 'twice'].map((tool) => ({ tool, id: `${tool}-${this.#calls.length}` }));
    const requests = asked.map(({ id, tool }) => this.runner.runRequest(`${id}/t1`, { tool }));
    this.#calls.push(...asked.map(({ id }) => `${id}/t1`));
    // Once: a copy that comes behind would mend what is skipped.
    await this.runner.publish(requests);
  }

  /** Waits until every call has ended. @returns what is not as it has to be then */
  async faults(): Promise<string[]> {
    const deadlineMs = performance.now() + endedWithinMs;
    let open = await this.open();
    while (open > 0 && performance.now() < deadlineMs) {
      await delay(50);
      open = await this.open();
    }
    if (open > 0) return [`${open} calls and messages are left`];
    const { rows } = await this.#admin.query<{ call_id: string; lost: number }>(
      'SELECT call_id, lost FROM tools.executions',
    );
    const lost = new Map(rows.map((row) => [row.call_id, row.lost]));
    const found = this.#calls.map((id) => this.faultsOf(id, lost.get(id) ?? 0));
    return (await Promise.all(found)).flat();
  }

  private async open(): Promise<number> {
    const { rows } = await this.#admin.query<{ open: number }>(openSql, [this.#calls.length]);
    return rows[0]?.open ?? NaN;
  }

  /** @param lost processes that died while they had it: too many of them end a call */
  private async faultsOf(callId: string, lost: number): Promise<string[]> {
    const { error } = await this.runner.completion(callId);
    const ends = new Set((await this.runner.records(callId, 1)).map(({ value }) => String(value)));
    const sent = this.server.calls.filter(({ body }) => body.call_id === callId);
    const attempts = new Set(sent.map(({ body }) => body.attempt));
    const keys = new Set(sent.map(({ headers }) => headers['idempotency-key']));
    return [
      ...(error === undefined || lost >= lostMax ? [] : [`${callId} failed: ${error.code}`]),
      ...(ends.size === 1 ? [] : [`${callId} has ${ends.size} ends`]),
      ...(attempts.size === sent.length ? [] : [`an attempt of ${callId} was sent again`]),
      ...(keys.size <= 1 ? [] : [`${callId} was sent under ${keys.size} keys`]),
    ];
  }

  async stop(): Promise<void> {
    await this.lane.stop();
    await this.#admin.end();
    await this.runner.stop();
    await this.server.close();
  }
}

const places = failuresOfRun(names);
const runners: FailingRunner[] = [];
let faults: ReadonlyMap<string, unknown>;

beforeAll(async () => {
  runners.push(
    ...(await Promise.all(Array.from({ length: lanesMax }, () => FailingRunner.create()))),
  );
  const lanes = runners.map(({ lane }) => lane);
  faults = await failEverywhere({ service: 'tool-runner', places, lanes });
});
afterAll(async () => {
  await Promise.all(runners.map((runner) => runner.stop()));
});

describe('tool-runner that fails at every place that a call goes through', () => {
  it.each(places.map(placeOf))('fails at %s, and goes on or is followed by another', (place) => {
    expect(faults.get(place)).toBeUndefined();
  });

  it('has cases for every place that there is, and each way to fail there', () => {
    expect([...names].sort()).toEqual(failpointsIn(['apps/tool-runner/src', ...libs]));
    const all = allFailures(names).map(placeOf);
    expect(new Set(all).size).toBe(names.length * 6);
    expect(all).toEqual(expect.arrayContaining(places.map(placeOf)));
  });

  it('ends every call once, and sends no attempt of it twice', async () => {
    const found = await Promise.all(runners.map((runner) => runner.faults()));
    expect(found.flat()).toEqual([]);
  });
});

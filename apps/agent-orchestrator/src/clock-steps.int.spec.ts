import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';
import { approvalSeconds } from '@millrace/contracts';
import { ChildProgram, obeysFailpoints } from '@millrace/testing';
import { Kafka, logLevel } from 'kafkajs';
import pg from 'pg';

import { briefSeconds, OrchestratorWorld } from './orchestrator-world.fixture.ts';
import { faultsOfRuns, openRowsOfRuns } from './settled-runs.fixture.ts';

jest.setTimeout(120_000);

const hourMs = 3_600_000;
const steppedEveryMs = 100;
const runsOfAKind = 10;
const budgetSeconds = 3;
/** Of the time of an approval when it is made older: it waits for a week. */
const approvalLeftMs = 2_000;
/** How much later than its time a timer may be: a busy machine, and nothing near an hour. */
const lateMsMax = 10_000;

let world: OrchestratorWorld;
let admin: pg.Pool;
const processes: ChildProgram[] = [];

beforeAll(async () => {
  world = await OrchestratorWorld.start();
  admin = new pg.Pool({ connectionString: world.database.adminUrl });
  const toolOf = (id: string) =>
    id.startsWith('asks') ? 'change' : id.startsWith('brief') ? 'brief' : 'held';
  await world.fakeWorker((id) => ({ turns: [[{ name: toolOf(id), input: { at: 1 } }]] }));
  await world.fakeTools();
});
afterAll(async () => {
  await Promise.all(processes.map((child) => child.kill()));
  await admin?.end();
  await world?.stop();
});

async function startProcess(offsetsMs: readonly number[]): Promise<void> {
  const file = join(import.meta.dirname, 'orchestrator-process.fixture.ts');
  const child = ChildProgram.start(file, [world.isolated.prefix, '', offsetsMs.join(',')], {
    ...world.environment(),
    HTTP_PORT: '0',
    LOG_LEVEL: 'error',
  });
  processes.push(child);
  await child.until(child.hears(obeysFailpoints));
}

/**
 * Waits until both have their partitions: kafkajs measures by the time of day how long it waits for
 * its group, so that a clock that is set meanwhile costs a member another try.
 */
async function joined(): Promise<void> {
  const { brokers, prefix } = world.isolated;
  const kafka = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING }).admin();
  await kafka.connect();
  try {
    for (;;) {
      const { groups } = await kafka.describeGroups([`${prefix}agent-orchestrator`]);
      const [group] = groups;
      if (group?.state === 'Stable' && group.members.length === processes.length) return;
      await delay(50);
    }
  } finally {
    await kafka.disconnect();
  }
}

async function submitted(kind: string, more: object): Promise<void> {
  const ids = Array.from({ length: runsOfAKind }, (_, n) => `${kind}-${n}`);
  await Promise.all(ids.map((id) => world.submit(id, more)));
}

interface Entry {
  readonly id: string;
  readonly version: number;
  readonly event_id: string;
  /** By the database's time, which is this process's: the machine is one. */
  readonly at: Date;
}

interface SeenEntry extends Entry {
  /** By this process's time: at most so late was it written. */
  readonly seenAtMs: number;
}

/** Reads the journals until so many timers of this name have fired. */
async function journalWith(timers: number, name: string): Promise<Map<string, SeenEntry>> {
  const seen = new Map<string, SeenEntry>();
  for (;;) {
    const { rows } = await admin.query<Entry>(
      'SELECT id, version, event_id, at FROM orchestrator.journal',
    );
    const seenAtMs = Date.now();
    for (const row of rows) {
      const key = `${row.id}:${row.version}`;
      if (!seen.has(key)) seen.set(key, { ...row, seenAtMs });
    }
    const fired = rows.filter((row) => row.event_id.startsWith(`timer:${name}`));
    if (fired.length >= timers) return seen;
    await delay(20);
  }
}

/** That all timers of a name fired when they were due, which the entry that set them says. */
function expectInTime(
  journal: Map<string, SeenEntry>,
  name: string,
  dueMsOf: (setAtMs: number) => number,
): void {
  for (const { at, event_id: event, id, seenAtMs } of journal.values()) {
    if (!event.startsWith(`timer:${name}`)) continue;
    // A timer bears the version that set it.
    const set = journal.get(`${id}:${event.split(':').at(-1)}`);
    const dueMs = dueMsOf(set?.at.getTime() ?? NaN);
    for (const firedMs of [at.getTime(), seenAtMs]) {
      expect(firedMs).toBeGreaterThanOrEqual(dueMs);
      expect(firedMs).toBeLessThan(dueMs + lateMsMax);
    }
  }
}

interface ApprovalTimer {
  readonly id: string;
  readonly due_at: Date;
}

/** The timers of what people are asked, as soon as all are asked. */
async function approvalTimers(): Promise<ApprovalTimer[]> {
  for (;;) {
    const { rows } = await admin.query<ApprovalTimer>(
      "SELECT id, due_at FROM orchestrator.timers WHERE name LIKE 'approval:%'",
    );
    if (rows.length === runsOfAKind) return rows;
    await delay(50);
  }
}

/** As if a person had been asked so long before, as the run's state and its timer say. */
async function askedEarlier({ due_at, id }: ApprovalTimer, dueAt: Date): Promise<void> {
  await admin.query(
    `UPDATE orchestrator.workflows SET state = convert_to(
       replace(convert_from(state, 'UTF8'), $2::text, $3::text), 'UTF8') WHERE id = $1`,
    [id, due_at.toISOString(), dueAt.toISOString()],
  );
  await admin.query(
    `UPDATE orchestrator.timers SET due_at = $2, not_before = $2
     WHERE id = $1 AND name LIKE 'approval:%'`,
    [id, dueAt],
  );
}

it('clocks that are an hour wrong, and set all the time, fire no timer early or late', async () => {
  await Promise.all([startProcess([hourMs, -hourMs]), startProcess([-hourMs, 0, hourMs])]);
  await joined();
  const beganAtMs = Date.now();
  const stepping = setInterval(
    () => processes.forEach((child) => child.signal('SIGUSR2')),
    steppedEveryMs,
  );
  try {
    const budget = { seconds: budgetSeconds, on_reached: 'fail' };
    await Promise.all([
      submitted('limited', { params: { tools: ['held'] }, budget }),
      submitted('brief', { params: { tools: ['brief'] } }),
      submitted('asks', { params: { tools: ['change'] } }),
    ]);
    const [limits, waits, approvals] = await Promise.all([
      journalWith(runsOfAKind, 'deadline'),
      // Each is asked for twice.
      journalWith(2 * runsOfAKind, 'tool'),
      approvalTimers(),
    ]);
    expectInTime(limits, 'deadline', (setAtMs) => setAtMs + budgetSeconds * 1_000);
    expectInTime(waits, 'tool', (setAtMs) => setAtMs + briefSeconds * 1_000);
    for (const { due_at } of approvals) {
      const askedAtMs = due_at.getTime() - approvalSeconds * 1_000;
      expect(askedAtMs).toBeGreaterThanOrEqual(beganAtMs);
      expect(askedAtMs).toBeLessThanOrEqual(Date.now());
    }
    const dueAt = new Date(Date.now() + approvalLeftMs);
    for (const timer of approvals) await askedEarlier(timer, dueAt);
    const expired = await journalWith(runsOfAKind, 'approval');
    expectInTime(expired, 'approval', () => dueAt.getTime());
  } finally {
    clearInterval(stepping);
  }
  // What Kafka brings was held up by the steps; now it comes.
  const jobs = 3 * runsOfAKind;
  await world.results.waitFor((all) => new Set(all.map(({ key }) => String(key))).size === jobs);
  while ((await openRowsOfRuns(admin, '%')) > 0) await delay(50);
  expect(await faultsOfRuns(admin, '%')).toEqual([]);
});

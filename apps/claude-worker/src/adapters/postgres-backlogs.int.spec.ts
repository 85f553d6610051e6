import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import {
  claudeBacklogSchema,
  IdentityPayloadCodec,
  jobIdSchema,
  sessionIdSchema,
  tenantIdSchema,
  type Lane,
} from '@millrace/contracts';
import { createPool, type Pool } from '@millrace/postgres';
import { createTestDatabase, type TestDatabase } from '@millrace/testing';

import { callKey } from '../core/call.ts';
import { sampleCallRequest } from '../core/sample-call.ts';
import { PostgresBacklogs } from './postgres-backlogs.ts';
import { PostgresCallLedger } from './postgres-call-ledger.ts';

let database: TestDatabase;
let admin: Pool;
let pool: Pool;
let ledger: PostgresCallLedger;
let backlogs: PostgresBacklogs;
let calls = 0;

beforeAll(async () => {
  database = await createTestDatabase();
  admin = createPool({ url: database.adminUrl, max: 2, applicationName: 'spec' });
  pool = createPool({ url: database.url('claude_worker'), max: 4, applicationName: 'spec' });
  ledger = new PostgresCallLedger({ pool, codec: new IdentityPayloadCodec() });
  backlogs = new PostgresBacklogs(pool);
}, 60_000);

beforeEach(async () => {
  await admin.query('TRUNCATE worker.calls');
  await admin.query('UPDATE worker.backlog_turn SET next_at = now(), told_waiting = 0');
});

afterAll(async () => {
  await ledger.close();
  await Promise.all([admin.end(), pool.end()]);
  await database.drop();
});

interface Waiting {
  readonly tenant?: 'default' | 'quiet' | 'busy';
  readonly lane?: Lane;
  readonly ageMs?: number;
  readonly dueInMs?: number;
  readonly isTurn?: boolean;
}

async function wait({ tenant = 'default', lane = 'standard', ...o }: Waiting): Promise<void> {
  calls += 1;
  const callId = jobIdSchema.parse(`call-${calls}`);
  const request = {
    ...sampleCallRequest,
    id: callKey(tenant, callId),
    tenant: tenantIdSchema.parse(tenant),
    callId,
    lane,
    session: o.isTurn === true ? { sessionId: sessionIdSchema.parse('s'), seq: 7 } : null,
  };
  await ledger.insert([{ request, claim: false }], 'nobody');
  await admin.query(
    `UPDATE worker.calls SET created_at = now() - $2 * interval '1 ms',
       not_before = now() + $3 * interval '1 ms' WHERE call_id = $1`,
    [callId, o.ageMs ?? 0, o.dueInMs ?? -(o.ageMs ?? 0)],
  );
}

const nextTurn = () => admin.query('UPDATE worker.backlog_turn SET next_at = now()');

describe('the count of what waits', () => {
  it('tells of tenants, most first, and of the age of each lane', async () => {
    await wait({ tenant: 'quiet', lane: 'interactive', ageMs: 1_000 });
    for (const ageMs of [60_000, 30_000, 10]) await wait({ tenant: 'busy', ageMs });
    const backlog = claudeBacklogSchema.parse(await backlogs.count());
    expect(backlog).toMatchObject({
      waiting: 4,
      tenants: [
        { tenant: 'busy', waiting: 3 },
        { tenant: 'quiet', waiting: 1 },
      ],
    });
    expect(Object.keys(backlog.oldest_ms)).toEqual(['interactive', 'standard']);
    expect(Math.floor((backlog.oldest_ms.standard ?? 0) / 10_000)).toBe(6);
  });

  it('counts the age of a retry from when it fell due, and of none before that', async () => {
    await wait({ ageMs: 3_600_000, dueInMs: -5_000 });
    await wait({ lane: 'bulk', ageMs: 3_600_000, dueInMs: 60_000 });
    const backlog = claudeBacklogSchema.parse(await backlogs.count());
    expect(backlog.waiting).toBe(2);
    expect(backlog.oldest_ms.bulk).toBeUndefined();
    expect(backlog.oldest_ms.standard).toBeGreaterThanOrEqual(5_000);
    expect(backlog.oldest_ms.standard).toBeLessThan(3_600_000);
  });

  it('takes no turn of a session for late: it waits for the one before it', async () => {
    await wait({ ageMs: 3_600_000, isTurn: true });
    expect(await backlogs.count()).toMatchObject({ waiting: 1, oldest_ms: {} });
  });

  it('is made by one process at a time, and not again at once', async () => {
    await wait({});
    const other = new PostgresBacklogs(pool);
    const counts = await Promise.all([backlogs.count(), other.count(), backlogs.count()]);
    expect(counts.filter((count) => count !== null)).toHaveLength(1);
    expect(await other.count()).toBeNull();
    await nextTurn();
    expect(await other.count()).toMatchObject({ waiting: 1 });
  });

  it('tells of an empty queue once', async () => {
    expect(await backlogs.count()).toBeNull();
    await wait({});
    await nextTurn();
    expect(await backlogs.count()).toMatchObject({ waiting: 1 });
    await admin.query('TRUNCATE worker.calls');
    await nextTurn();
    expect(await backlogs.count()).toMatchObject({ waiting: 0, tenants: [] });
    await nextTurn();
    expect(await backlogs.count()).toBeNull();
  });
});

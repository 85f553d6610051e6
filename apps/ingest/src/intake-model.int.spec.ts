import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { createPool, Outbox, type Pool, TenantDatabase } from '@millrace/postgres';
import { createTestDatabase, type TestDatabase } from '@millrace/testing';
import fc from 'fast-check';

import { PostgresJobs } from './adapters/postgres-jobs.ts';
import { PostgresReleases } from './adapters/postgres-releases.ts';
import { judge, writeDownText } from './intake-judgement.fixture.ts';
import type { Parts } from './intake-member.fixture.ts';
import { plans } from './intake-plans.fixture.ts';
import { IntakeWorld } from './intake-world.fixture.ts';
import type { EndResult, Insertion, JobEnd, JobSubmissionRow, ToldEnd } from './ports.ts';

/**
 * Two replicas of ingest over one Postgres, against a model of what a job's life may be: clients,
 * topics, cancels, due times and ends at once, each record and event twice; answers, statements,
 * commits and processes are lost on the way. The bugs below show that the model sees.
 */
const campaign = { seed: 20_261_129, numRuns: 40, endOnFailure: true };
/** The first ten runs find each bug as a rule; what meets is for the machine to say. */
const bugRunsMax = 120;

jest.setTimeout(180_000);

let database: TestDatabase;
let sql: Pool;
let api: Pool;

beforeAll(async () => {
  database = await createTestDatabase();
  sql = createPool({ url: database.adminUrl, max: 4, applicationName: 'intake-model' });
  api = createPool({
    url: database.url('ingest_api'),
    max: 6,
    applicationName: 'intake-model api',
    pipeline: true,
  });
  await sql.query(writeDownText);
});

afterAll(async () => {
  await api?.end();
  await sql?.end();
  await database?.drop();
});

const sound: Parts = {
  Jobs: PostgresJobs,
  Releases: PostgresReleases,
  Outbox,
  movesOffsetsEarly: false,
};

interface LifeOptions {
  readonly parts: Parts;
  readonly quietWithinMs: number;
  /** Is told what the campaign brought about. */
  readonly happened: Set<string>;
}

function lives(o: LifeOptions) {
  return fc.asyncProperty(plans, async (plan) => {
    const own = new TenantDatabase(api);
    const databaseUrl = database.url('ingest');
    const world = new IntakeWorld({ ...o, plan, own, databaseUrl, sql });
    try {
      await world.begin();
      for (const step of plan.steps) await world.take(step);
      await world.close();
      expect(await judge(world, sql)).toEqual([]);
    } finally {
      await world.leave();
    }
  });
}

const allThatMayHappen = [
  'a cancel',
  'a conflict',
  'a death',
  'a death after a statement',
  'a lost answer',
  'a lost commit',
  'a lost statement',
  'acknowledged',
  'another end',
  'cancelled',
  'expired',
  'failed',
  'not durable',
  'records came again',
  'refused',
  'released later',
  'replayed',
  'succeeded',
];

it('a job lives as the model says, whatever comes twice, is lost or dies', async () => {
  // A failure prints its seed and path, and the plan that failed.
  const happened = new Set<string>();
  const quietWithinMs = 20_000;
  const life = lives({ parts: sound, quietWithinMs, happened });
  await fc.assert(life, campaign);
  expect([...happened]).toEqual(expect.arrayContaining(allThatMayHappen));
});

/** Takes a submission that repeats a name for the first one. */
class ForgetfulJobs extends PostgresJobs {
  override async insertAnnounced(row: JobSubmissionRow): Promise<Insertion> {
    const insertion = await super.insertAnnounced(row);
    if (insertion.kind !== 'standing') return insertion;
    return { kind: 'inserted', seq: insertion.row.seq, message: null };
  }
}

/** Counts a turn that was there before once more. */
class WastefulJobs extends PostgresJobs {
  override async insertAnnounced(row: JobSubmissionRow): Promise<Insertion> {
    const insertion = await super.insertAnnounced(row);
    const { sessionId, tenant } = row.job;
    if (insertion.kind === 'standing' && sessionId !== null) {
      await sql.query(
        'UPDATE ingest.sessions SET last_seq = last_seq + 1 WHERE (tenant, id) = ($1, $2)',
        [tenant, sessionId],
      );
    }
    return insertion;
  }
}

/** Looks for a key among the jobs of all tenants. */
class PublicJobs extends PostgresJobs {
  override async insertAnnounced(row: JobSubmissionRow): Promise<Insertion> {
    const { idempotencyKey, tenant } = row.job;
    const others = await sql.query<{ id: string; tenant: string }>(
      'SELECT tenant, id FROM ingest.job_keys WHERE idempotency_key = $1 AND tenant <> $2',
      [idempotencyKey, tenant],
    );
    const [other] = others.rows;
    const name = { ...row.job, ...other };
    const standing = other === undefined ? null : await super.findStanding(name as typeof row.job);
    return standing === null ? super.insertAnnounced(row) : { kind: 'standing', row: standing };
  }
}

/** Ends a job again when it is told again. */
class FickleJobs extends PostgresJobs {
  override async finish(ends: readonly JobEnd[]): Promise<PromiseSettledResult<EndResult>[]> {
    const results = await super.finish(ends);
    for (const [i, { id, status, tenant }] of ends.entries()) {
      const result = results[i];
      if (result?.status !== 'fulfilled' || result.value !== 'late') continue;
      const text = 'UPDATE ingest.jobs SET status = $3 WHERE (tenant, id) = ($1, $2)';
      await sql.query(text, [tenant, id, status]);
    }
    return results;
  }
}

/** Ends a job that waits, and lets it wait. */
class LastingReleases extends PostgresReleases {
  override async end(told: ToldEnd): Promise<boolean> {
    const hasEnded = await super.end(told);
    const { day, id, tenant } = told.end;
    const text = 'INSERT INTO ingest.releases VALUES ($1, $2, $3, now()) ON CONFLICT DO NOTHING';
    if (hasEnded) await sql.query(text, [tenant, id, day]);
    return hasEnded;
  }
}

/** Publishes right after the commit, or never. */
class UnsweptOutbox extends Outbox {
  override start(): void {}
}

describe('the model sees', () => {
  it.each<[string, Partial<Parts>, RegExp]>([
    ['that a key stands for two bodies', { Jobs: ForgetfulJobs }, /is there 0 times|another body/],
    ['numbers that are not dense', { Jobs: WastefulJobs }, /has the numbers/],
    ['one tenant’s keys in another’s way', { Jobs: PublicJobs }, /conflicts with nothing/],
    ['an end that changes', { Jobs: FickleJobs }, /ended \d times/],
    ['a job with two enders', { Releases: LastingReleases }, /has two enders|told \d ends/],
    ['an outbox that is not swept', { Outbox: UnsweptOutbox }, /the outbox holds/],
    ['an early offset', { movesOffsetsEarly: true }, /record of .+ is lost|has 0 requests/],
  ])('%s', async (_, bug, wrong) => {
    // Fifty sweeps: what has not ended by then never does.
    const quietWithinMs = 6_000;
    const life = lives({ parts: { ...sound, ...bug }, quietWithinMs, happened: new Set() });
    const found = await fc.check(life, { ...campaign, numRuns: bugRunsMax });
    expect(String(found.errorInstance)).toMatch(wrong);
  });
});

import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import {
  defaultTenant,
  IdentityPayloadCodec,
  jobIdSchema,
  sessionIdSchema,
} from '@millrace/contracts';
import { createPool, TenantDatabase, type Pool } from '@millrace/postgres';
import { createTestDatabase, type TestDatabase } from '@millrace/testing';
import { ROOT_CONTEXT } from '@opentelemetry/api';

import { announcementOf } from '../announcement.ts';
import { judgeSubmission } from '../core/judge-submission.ts';
import { newJob, type NewJob } from '../core/new-job.ts';
import { endedUnreleased } from '../job-end.ts';
import type { LargeBodies, ReleaseTeller } from '../ports.ts';
import { PostgresJobs } from './postgres-jobs.ts';
import { PostgresReleases } from './postgres-releases.ts';

jest.setTimeout(60_000);

/** Tells torn bytes, as one that decrypts does. */
class CheckingCodec extends IdentityPayloadCodec {
  override decode(body: Buffer): Buffer {
    if (body.toString() === 'torn') throw new TypeError('these bytes are not whole');
    return body;
  }
}

const codec = new CheckingCodec();
const minuteMs = 60_000;
const bodies: LargeBodies = {
  keep: () => Promise.resolve(),
  read: () => Promise.resolve(null),
  purge: () => Promise.resolve(0),
};
const teller: ReleaseTeller = {
  released: (job, seq) => {
    const announced = { ...job, refused: false };
    return announcementOf(announced, seq, { codec, context: ROOT_CONTEXT });
  },
  expired: (job) => endedUnreleased(job, 'expired', { at: new Date(), codec }),
};

let database: TestDatabase;
let admin: Pool;
let pool: Pool;
let jobs: PostgresJobs;
let releases: PostgresReleases;

beforeAll(async () => {
  database = await createTestDatabase();
  admin = createPool({ url: database.adminUrl, max: 2, applicationName: 'spec' });
  pool = createPool({ url: database.url('ingest'), max: 4, applicationName: 'spec' });
  jobs = new PostgresJobs({ pool, own: new TenantDatabase(pool), codec, bodies });
  releases = new PostgresReleases({ pool, codec, silentMs: minuteMs });
});

afterAll(async () => {
  await jobs?.close();
  await Promise.all([pool?.end(), admin?.end()]);
  await database?.drop();
});

/** A turn that was to run a minute ago. */
function dueTurn(name: string): NewJob {
  const createdAt = new Date(Date.now() - 2 * minuteMs);
  const rules = { defaultModel: 'm', checkUrl: () => ({ ok: true }) as const };
  const body = { type: 'message', prompt: 'p', session_id: sessionIdSchema.parse('s') } as const;
  const runAt = new Date(createdAt.getTime() + minuteMs).toISOString();
  const judged = judgeSubmission({ ...body, run_at: runAt }, rules);
  if (!judged.ok) throw new TypeError('refused');
  const { order } = judged;
  const arrival = {
    tenant: defaultTenant,
    source: 'kafka',
    idempotencyKey: null,
    traceparent: '00-1-2-01',
    createdAt,
  } as const;
  const carrier = { kind: 'inline', params: order.params } as const;
  return newJob(arrival, { id: jobIdSchema.parse(name), order, carrier });
}

const waiting = async () => {
  const { rows } = await admin.query<{ id: string; minutes: number }>(
    `SELECT id, round(extract(epoch FROM run_at - now()) / 60)::int AS minutes
     FROM ingest.releases ORDER BY id`,
  );
  return rows;
};
const sequence = (value: Buffer | null): unknown =>
  JSON.parse(String(value)).session_seq;

describe('the release of jobs that are due', () => {
  it('puts off what cannot be read, and releases the rest with dense turns', async () => {
    const names = ['one', 'torn', 'two', 'torn-late', 'late'];
    for (const result of await jobs.insertRecorded(names.map(dueTurn))) {
      expect(result.status).toBe('fulfilled');
    }
    await admin.query(`UPDATE ingest.jobs SET first_event = 'torn' WHERE id = 'torn'`);
    await admin.query(`UPDATE ingest.jobs SET first_event = '{' WHERE id = 'torn-late'`);
    await admin.query(
      `UPDATE ingest.jobs SET complete_by = now() WHERE id IN ('torn-late', 'late')`,
    );
    const batch = await releases.releaseDue(10, teller);
    expect(batch.released).toBe(2);
    expect(batch.ended.map(({ end }) => end.id)).toEqual(['late']);
    expect(batch.unreadable.map(({ id }) => id).toSorted()).toEqual(['torn', 'torn-late']);
    const requests = batch.messages.filter(({ key }) => key === `${defaultTenant}/s`);
    expect(requests.map(({ value }) => sequence(value))).toEqual([1, 2]);
    expect(await waiting()).toEqual([
      { id: 'torn', minutes: 10 },
      { id: 'torn-late', minutes: 10 },
    ]);
    const again = await releases.releaseDue(10, teller);
    expect(again).toMatchObject({ released: 0, ended: [], unreadable: [] });
  });

  it('releases what was put off when it can be read again', async () => {
    const [intact] = [dueTurn('torn')];
    await admin.query(`UPDATE ingest.jobs SET first_event = $1 WHERE id = 'torn'`, [
      Buffer.from(intact.firstEventJson),
    ]);
    await admin.query(`UPDATE ingest.releases SET run_at = now() WHERE id = 'torn'`);
    const batch = await releases.releaseDue(10, teller);
    expect(batch.messages.map(({ value }) => sequence(value))).toEqual([3]);
  });
});

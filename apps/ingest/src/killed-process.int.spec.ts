import { afterAll, afterEach, beforeAll, expect, it, jest } from '@jest/globals';
import { topics } from '@millrace/contracts';

import { IngestSurroundings, type IngestProcess } from './ingest-surroundings.fixture.ts';

jest.setTimeout(120_000);

let around: IngestSurroundings;

beforeAll(async () => {
  around = await IngestSurroundings.prepare();
});
afterEach(() => around.killAll());
afterAll(() => around.close());

const seqOf = (id: string): unknown =>
  JSON.parse(String(around.requestsOf(id)[0]?.value))['session_seq'];
const isKnown = async (id: string): Promise<boolean> =>
  (await around.rows('SELECT FROM ingest.jobs WHERE id = $1', [id])).length === 1;

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** Published, by whom it may be, and each time the same. */
async function told(ids: readonly string[]): Promise<void> {
  await around.requested.waitFor(() => ids.every((id) => around.requestsOf(id).length > 0));
  for (const id of ids) {
    expect(new Set(around.requestsOf(id).map(({ value }) => String(value))).size).toBe(1);
  }
}

/** A process of which one submission after the other is caught at its point, until it is killed. */
async function killWhileTaking(
  points: readonly { readonly body: object; readonly caught: () => Promise<unknown> }[],
): Promise<void> {
  const doomed: IngestProcess = await (await around.start()).ready();
  // Its key is known by now, and nothing else is on its way to Postgres.
  await doomed.submit({ prompt: 'warms up', session_id: 'warm' });
  const answers: Promise<unknown>[] = [];
  for (const { body, caught } of points) {
    const isCaught = caught();
    answers.push(doomed.submit(body).then(({ status }) => status, () => 'no answer'));
    await doomed.program.until(isCaught);
  }
  await doomed.program.kill();
  expect(new Set(await Promise.all(answers))).toEqual(new Set(['no answer']));
}

it('a job whose process is killed before it answers is the same when it is repeated', async () => {
  const { proxy } = around;
  const job = (id: string) => ({ job_id: id, prompt: 'p' });
  const turn = (id: string) => ({ ...job(id), session_id: 'killed' });
  await killWhileTaking([
    { body: turn('in-transaction'), caught: () => proxy.holdCommitOf('insert_turns', 'before') },
    { body: job('committed'), caught: () => proxy.hold('insert_jobs_with_outbox', 'after') },
  ]);
  expect([await isKnown('in-transaction'), await isKnown('committed')]).toEqual([false, true]);
  await killWhileTaking([
    { body: turn('at-commit'), caught: () => proxy.holdCommitOf('insert_turns', 'during') },
    { body: job('before-all'), caught: () => proxy.hold('insert_jobs_with_outbox', 'before') },
  ]);
  expect(await isKnown('before-all')).toBe(false);

  const heir = await (await around.start()).ready();
  const lone = ['committed', 'before-all'];
  const turns = ['in-transaction', 'at-commit'];
  for (const id of lone) expect((await heir.submit(job(id))).status).toBe(202);
  for (const id of turns) expect((await heir.submit(turn(id))).status).toBe(202);
  expect((await heir.submit(turn('last'))).status).toBe(202);
  const other = await heir.submit({ ...job('committed'), prompt: 'other' });
  expect([other.status, other.body.code]).toEqual([409, 'idempotency_conflict']);
  await heir.program.until(told([...lone, ...turns, 'last']));
  // What was undone left no hole in its session.
  const seqs = [...turns, 'last'].map(seqOf);
  expect(new Set(seqs)).toEqual(new Set([1, 2, 3]));
  expect(seqOf('last')).toBe(3);
});

it('a record whose process is killed comes again, and is one job', async () => {
  const { proxy } = around;
  const record = (id: string): string => JSON.stringify({ job_id: id, prompt: 'p' });
  const points = [
    ['record-before', 'before'],
    ['record-after', 'after'],
  ] as const;
  for (const [id, at] of points) {
    const doomed = await around.start();
    const held = proxy.hold('insert_jobs', at);
    await around.publish(topics.jobsSubmitted, [record(id)]);
    await doomed.program.until(held);
    await doomed.program.kill();
    expect(await isKnown(id)).toBe(at === 'after');
    expect(around.requestsOf(id)).toEqual([]);
  }
  // The last is killed when it has published, which may be before its offset has moved.
  const last = await around.start();
  await around.publish(topics.jobsSubmitted, [record('record-published')]);
  await last.program.until(told(['record-published']));
  await last.program.kill();
  const heir = await around.start();
  await around.publish(topics.jobsSubmitted, [record('record-next')]);
  const ids = [...points.map(([id]) => id), 'record-published', 'record-next'];
  await heir.program.until(told(ids));
  await until(async () => (await around.rows('SELECT FROM ingest.outbox')).length === 0);
  for (const id of ids) expect(await isKnown(id)).toBe(true);
});

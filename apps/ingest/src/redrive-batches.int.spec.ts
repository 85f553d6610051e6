import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { topics, type Topic } from '@millrace/contracts';
import type { KafkaReader } from '@millrace/testing';

import { RunningIngest, until, type Answer, type Json } from './running-ingest.fixture.ts';

jest.setTimeout(60_000);

const adminKey = `mra_${'o'.repeat(43)}`;
const operator = { authorization: `Bearer ${adminKey}` };
const service = { service: 'ingest' };

let ingest: RunningIngest;
let submitted: KafkaReader;
let finished: KafkaReader;

beforeAll(async () => {
  ingest = await RunningIngest.start({ MILLRACE_ADMIN_API_KEY: adminKey });
  submitted = await ingest.reader(topics.jobsSubmitted);
  finished = await ingest.reader(topics.jobsFinished);
});

afterAll(async () => {
  await submitted?.stop();
  await finished?.stop();
  await ingest?.stop();
});

/** Publishes records of a type that nobody knows. @returns the letters, oldest first. */
async function poison(
  topic: Topic,
  o: { mark: string; count: number; tenant?: string; headers?: Record<string, string> },
): Promise<Json[]> {
  const type = `millrace.${o.mark}.v1`;
  for (let n = 0; n < o.count; n += 1) {
    const id = `${o.mark}-${n}`;
    const tenant = o.tenant === undefined ? {} : { tenant: o.tenant };
    await ingest.publish(topic, { type, id, key: o.mark, data: { n }, ...tenant });
  }
  return until(async () => {
    const found = await list(`topic=${topic.name}&redriven=false&limit=100`, o.headers);
    const read = await Promise.all(found.map(({ id }) => get(id, o.headers)));
    const own = read.filter(({ headers }) => headers.ce_type === type);
    own.sort((a, b) => Number(a.offset) - Number(b.offset));
    return own.length === o.count && own;
  });
}

async function list(query: string, headers: Record<string, string> = {}): Promise<Json[]> {
  return (await ingest.call('GET', `/v1/dead-letters?${query}`, { headers })).body.data;
}

async function get(id: string, headers: Record<string, string> = {}): Promise<Json> {
  return (await ingest.call('GET', `/v1/dead-letters/${id}`, { headers })).body;
}

const redrive = (body: object, headers: Record<string, string> = {}): Promise<Answer> =>
  ingest.call('POST', '/v1/dead-letters:redrive', { body, headers });

const resultsOf = ({ body }: Answer): Json[] => body.results;
const idsOf = (answer: Answer): string[] => resultsOf(answer).map(({ id }) => id);

describe('POST /v1/dead-letters:redrive', () => {
  it('redrives by a filter, oldest first, page by page, each letter once', async () => {
    const letters = await poison(topics.jobsSubmitted, { mark: 'paged', count: 3 });
    const all = letters.map(({ id }) => id);
    const from = letters[0].at;
    const first = await redrive({ ...service, from, limit: 2 });
    expect(first).toMatchObject({ status: 200, body: { more: true } });
    expect(idsOf(first)).toEqual(all.slice(0, 2));
    const { next_cursor: cursor, to } = first.body;
    const rest = await redrive({ ...service, from, to, cursor, limit: 2 });
    expect(idsOf(rest)).toEqual(all.slice(2));
    expect(rest.body).toMatchObject({ more: false, next_cursor: null });
    // As after a crash, when the answer was never read.
    expect(idsOf(await redrive({ ...service, from, to }))).toEqual([]);

    const own = () => submitted.messages.filter(({ key }) => key?.toString() === 'paged');
    await submitted.waitFor(() => own().length === 6);
    expect(own().map(({ headers }) => headers['ce_id'])).toEqual([
      ...['paged-0', 'paged-1', 'paged-2'],
      ...['paged-0', 'paged-1', 'paged-2'],
    ]);
    // They come back as new letters, and those that were redriven are asked for by time.
    const again = await redrive({ from, to, redriven_before: new Date().toISOString() });
    expect(idsOf(again)).toEqual(all);
    const counts = resultsOf(again).map((result) => result.redrive.redrive_count);
    expect(counts).toEqual([2, 2, 2]);
  });

  it('redrives letters by name, each alone good or bad, and says the same again', async () => {
    const [letter] = await poison(topics.jobsSubmitted, { mark: 'named', count: 1 });
    const ids = [letter.id, 'dl_nothing'];
    const [done, missing] = (await redrive({ ids })).body.results;
    expect(done).toMatchObject({ id: letter.id, status: 202, redrive: { redrive_count: 1 } });
    expect(missing).toMatchObject({ status: 404, error: { code: 'not_found' } });
    const [replayed] = (await redrive({ ids })).body.results;
    expect(replayed).toEqual({ ...done, replayed: true });
    const other = { body: { ids }, asOther: true };
    const foreign = await ingest.call('POST', '/v1/dead-letters:redrive', other);
    expect(resultsOf(foreign).map(({ status }) => status)).toEqual([404, 404]);
  });

  it.each([
    ['names and a filter at once', { ids: ['dl_1'], code: 'x' }],
    ['no names', { ids: [] }],
    ['too many', { limit: 1_001 }],
    ['a cursor that no answer gave', { cursor: 'nope' }],
  ])('refuses %s', async (_what, body) => {
    expect((await redrive(body)).body.code).toBe('invalid_request');
  });
});

describe('letters that belong to nobody', () => {
  it('are the operator’s to list, read and redrive, and no tenant’s', async () => {
    const nobodys = { mark: 'nobody', count: 2, tenant: 'NO TENANT', headers: operator };
    const [one, other] = await poison(topics.jobsFinished, nobodys);
    expect((await get(one.id)).code).toBe('not_found');
    expect(idsOf(await redrive({ topic: 'jobs.finished.v1' }))).toEqual([]);
    const { status } = await ingest.call('POST', `/v1/dead-letters/${one.id}/redrive`, {
      headers: operator,
    });
    expect(status).toBe(202);
    const rest = await redrive({ topic: 'jobs.finished.v1' }, operator);
    expect(idsOf(rest)).toContain(other.id);
    const own = () => finished.messages.filter(({ key }) => key?.toString() === 'nobody');
    await finished.waitFor(() => own().length >= 4);
    expect(own().every(({ headers }) => headers['ce_tenant'] === 'NO TENANT')).toBe(true);
  });

  it('are apart from those of tenants', async () => {
    const [letter] = await poison(topics.jobsSubmitted, { mark: 'owned', count: 1 });
    expect((await get(letter.id, operator)).code).toBe('not_found');
  });
});

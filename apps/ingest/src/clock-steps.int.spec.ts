import { afterAll, afterEach, beforeAll, expect, it, jest } from '@jest/globals';

import { IngestSurroundings, type IngestProcess } from './ingest-surroundings.fixture.ts';

jest.setTimeout(60_000);

const hourMs = 3_600_000;
/** A database's and this process's time are read one after the other. */
const toleranceMs = 2_000;

let around: IngestSurroundings;

beforeAll(async () => {
  around = await IngestSurroundings.prepare();
});
afterEach(() => around.killAll());
afterAll(() => around.close());

async function ready(options: Parameters<IngestSurroundings['start']>[0]): Promise<IngestProcess> {
  return (await around.start(options)).ready();
}

const aheadOfNow = (ms: number): string => new Date(Date.now() + ms).toISOString();

it.each([
  ['behind', [-hourMs]],
  ['that is set forth and back', [hourMs, -hourMs, 3 * hourMs]],
])('by a clock %s jobs have the database’s time, and silent ones are noticed', async (...given) => {
  const [name, clockOffsetsMs] = given;
  const ingest = await ready({ clockOffsetsMs, silentMs: 1_000 });
  const ids = [0, 1, 2].map((n) => `${name.replaceAll(' ', '-')}-${n}`);
  for (const id of ids) {
    const { body, status } = await ingest.submit({ job_id: id, prompt: 'p' });
    expect(status).toBe(202);
    expect(Math.abs(Date.parse(body.created_at) - Date.now())).toBeLessThan(toleranceMs);
    if (clockOffsetsMs.length > 1) ingest.program.signal('SIGUSR2');
  }
  // Nobody answers: each request is told again when its job has been silent.
  const told = around.requested.waitFor(() => ids.every((id) => around.requestsOf(id).length > 1));
  await ingest.program.until(told);
});

it('by a clock that is set while jobs wait none is released or refused too early', async () => {
  const ingest = await ready({ clockOffsetsMs: [hourMs, -hourMs] });
  const stepping = setInterval(() => ingest.program.signal('SIGUSR2'), 50);
  try {
    const ids = Array.from({ length: 20 }, (_, n) => `timed-${n}`);
    const waits = (n: number) => 1_000 + n * 100;
    const accepted = await Promise.all(
      ids.map((id, n) =>
        ingest.submit({ job_id: id, prompt: 'p', run_at: aheadOfNow(waits(n)) })),
    );
    expect(new Set(accepted.map(({ status }) => status))).toEqual(new Set([202]));
    const released = () => ids.every((id) => around.requestsOf(id).length > 0);
    await ingest.program.until(around.requested.waitFor(released));
    for (const [n, id] of ids.entries()) {
      const { body } = await ingest.call('GET', `/v1/jobs/${id}/timeline`);
      const runAt = accepted[n]?.body.run_at;
      const events: { kind: string; at: string }[] = body.events;
      const releases = events.flatMap(({ kind, at }) => (kind === 'released' ? [at] : []));
      expect(releases).toHaveLength(1);
      expect(Date.parse(releases[0] ?? '')).toBeGreaterThanOrEqual(Date.parse(runAt));
      // kafkajs times a request by the wall clock: at a step it may send the same event once more.
      const told = around.requestsOf(id).map(({ headers, value }) => [headers, value?.toString()]);
      expect(new Set(told.map((record) => JSON.stringify(record))).size).toBe(1);
    }
    const late = await ingest.submit({ prompt: 'p', complete_by: aheadOfNow(-5_000) });
    expect([late.status, late.body.code]).toEqual([400, 'invalid_request']);
    const inTime = await ingest.submit({ prompt: 'p', complete_by: aheadOfNow(60_000) });
    expect(inTime.status).toBe(202);
  } finally {
    clearInterval(stepping);
  }
});

import { describe, expect, it } from '@jest/globals';
import { IdentityPayloadCodec, workflowRequestedSchema } from '@millrace/contracts';

import type { HeldWorkflow } from './core/fold.ts';
import type { JournalEntry } from './core/journal-entry.ts';
import { countingReducer } from './counting-reducer.fixture.ts';
import { ForkSource } from './fork-source.ts';
import { Workflows, type JournalPage, type JournalRange } from './ports.ts';
import { StoredBodies } from './stored-bodies.ts';

const mebibyte = 1024 * 1024;
const createdAt = '2026-11-24T10:00:00.000Z';
const request = workflowRequestedSchema.parse({
  tenant: 'default',
  job_id: 'source',
  type: 'agent',
  params_ref: 'blob_large',
  reply: { kind: 'job', created_at: createdAt },
});
const fork = workflowRequestedSchema.parse({
  ...request,
  job_id: 'fork',
  fork: { workflow_id: 'source', created_at: createdAt, from_step: 0, allow_side_effects: false },
});

/** A run whose journal has entries of a size each, and is read one by one. */
class OneRun extends Workflows {
  reads = 0;

  constructor(
    private readonly entries: number,
    private readonly entryBytes: number,
  ) {
    super();
  }

  override journal(_: unknown, { from }: JournalRange): Promise<JournalPage> {
    this.reads += 1;
    const event: JournalEntry['event'] =
      from === 1
        ? { eventId: 'requested', type: 'requested', data: request }
        : { eventId: `t${from}`, type: 'timer_fired', name: 'x' };
    const entry: JournalEntry = { version: from, atMs: 0, event, commands: [] };
    const next = from < this.entries ? from + 1 : null;
    return Promise.resolve({ entries: [entry], bytes: this.entryBytes, next });
  }

  override find(): Promise<HeldWorkflow> {
    return Promise.resolve({
      ...{ tenant: 'default', id: request.job_id, kind: 'agent', schemaVersion: 1 },
      ...{ version: this.entries, status: 'running', state: {}, head: request, parkedCode: null },
    });
  }

  override apply = () => Promise.resolve([]);
  override answers = () => Promise.resolve([]);
  override park = () => Promise.resolve();
}

function sourceOf(run: OneRun, bodyBytes = 2) {
  const body = Buffer.from(`{}${' '.repeat(bodyBytes - 2)}`);
  const bodies = new StoredBodies(
    { get: () => Promise.resolve(body) },
    new IdentityPayloadCodec(),
  );
  return new ForkSource({ workflows: run, bodies, reducers: [countingReducer()] });
}

describe('the source of a fork', () => {
  it('is nothing to a run that is no fork', async () => {
    expect(await sourceOf(new OneRun(1, 0)).load(request)).toEqual({});
  });

  it('is taken over when it fits', async () => {
    const loaded = await sourceOf(new OneRun(3, mebibyte)).load(fork);
    expect(loaded.forked).toMatchObject({ schemaVersion: 1 });
  });

  it.each([
    ['steps', () => sourceOf(new OneRun(1_000, mebibyte))],
    ['bodies', () => sourceOf(new OneRun(1, 0), 65 * mebibyte)],
  ])('is refused with a code when its %s are too large', async (_, source) => {
    expect(await source().load(fork)).toMatchObject({ unforkable: { code: 'history_too_long' } });
  });

  it('is not read on when it is too large', async () => {
    const run = new OneRun(1_000, mebibyte);
    await sourceOf(run).load(fork);
    expect(run.reads).toBeLessThanOrEqual(65);
  });
});

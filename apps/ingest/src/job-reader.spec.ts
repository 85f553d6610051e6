import { describe, expect, it } from '@jest/globals';
import { jobIdSchema, jobViewSchema, tenantIdSchema, type JobView } from '@millrace/contracts';

import { JobReader } from './job-reader.ts';
import { LiveJobs } from './live-jobs.ts';
import { Jobs } from './ports.ts';
import { streamSettings } from './stream-settings.ts';

const name = { tenant: tenantIdSchema.parse('default'), id: jobIdSchema.parse('job-1') };
const queued: JobView = jobViewSchema.parse({
  id: name.id,
  type: 'message',
  status: 'queued',
  lane: 'standard',
  created_at: '2026-11-23T10:00:00.000Z',
  trace_id: '0af7651916cd43dd8448eb211c80319c',
});

/** Reads a row that says that the job has ended from the given look on. */
function readerOf({ endsAtLook }: { readonly endsAtLook: number }) {
  const live = new LiveJobs(streamSettings({ STREAMS_MAX: 1, STREAMS_PER_TENANT_MAX: 1 }));
  const seen = { looks: 0 };
  const jobs: Jobs = Object.assign(Object.create(Jobs.prototype), {
    find: () => {
      seen.looks += 1;
      const status = seen.looks < endsAtLook ? 'queued' : 'succeeded';
      return Promise.resolve({ ...queued, status });
    },
  });
  return { live, reader: new JobReader(jobs, live), seen };
}

describe('a job that is read', () => {
  it('right after its end was told is shown with it, although its row follows later', async () => {
    const { live, reader } = readerOf({ endsAtLook: 4 });
    live.ended(name.tenant, name.id);
    expect(await reader.find(name)).toMatchObject({ status: 'succeeded' });
  });

  it('is shown as it is when its row does not follow', async () => {
    const { live, reader } = readerOf({ endsAtLook: Infinity });
    live.ended(name.tenant, name.id);
    expect(await reader.find(name)).toMatchObject({ status: 'queued' });
  });

  it('while it goes on is looked at once', async () => {
    const { live, reader, seen } = readerOf({ endsAtLook: Infinity });
    live.ended(tenantIdSchema.parse('another'), name.id);
    expect(await reader.find(name)).toMatchObject({ status: 'queued' });
    expect(seen.looks).toBe(1);
  });
});

import { describe, expect, it } from '@jest/globals';
import { jobBatchResultSchema, jobIdSchema, type JobView } from '@millrace/contracts';

import { acceptedResult, refusedResult } from './batch-result.ts';
import { ProblemError } from './problem.ts';

const view: JobView = {
  id: jobIdSchema.parse('a'),
  type: 'message',
  status: 'queued',
  lane: 'standard',
  created_at: '2026-11-24T10:00:00.000Z',
  trace_id: '0af7651916cd43dd8448eb211c80319c',
};

describe('the result of one job of a batch', () => {
  it('is the job, and says only of a replay that it is one', () => {
    const accepted = acceptedResult(3, { view, replayed: false });
    expect(accepted).toEqual({ index: 3, status: 202, job: view });
    const replayed = acceptedResult(4, { view, replayed: true });
    expect(replayed).toEqual({ index: 4, status: 202, job: view, replayed: true });
    expect(jobBatchResultSchema.parse(replayed)).toEqual(replayed);
  });

  it('is the status, code and fields that the job alone would have been answered with', () => {
    const errors = [{ path: 'prompt', message: 'is missing' }];
    const refused = refusedResult(0, new ProblemError('invalid_request', 'bad', errors));
    const error = { code: 'invalid_request', detail: 'bad', errors };
    expect(refused).toEqual({ index: 0, status: 400, error });
    expect(jobBatchResultSchema.parse(refused)).toEqual(refused);
  });

  it('is a 500 for a code that has no place on HTTP', () => {
    const refused = refusedResult(0, new ProblemError('retries_exhausted', 'never here'));
    expect(refused).toMatchObject({ status: 500, error: { code: 'retries_exhausted' } });
  });
});

import { expect, it } from '@jest/globals';

import { jobIdOf } from './job-id.ts';

it.each([
  [{ job_id: 'job-1', call_id: 'job-1/m2' }, 'job-1'],
  [{ call_id: 'job-1' }, 'job-1'],
  [{ call_id: 'job-1/c1/m2' }, 'job-1'],
  [{ tenant: 'default' }, undefined],
  [null, undefined],
])('the job of %j is %p', (data, job) => {
  expect(jobIdOf(data)).toBe(job);
});

/**
 * The job that an event is about: its `job_id`, or what `call_id` begins with. A message job's call
 * has the job's id; a workflow's adds its own after a slash, which no job's id has.
 */
export function jobIdOf(data: unknown): string | undefined {
  if (typeof data !== 'object' || data === null) return undefined;
  if ('job_id' in data && typeof data.job_id === 'string') return data.job_id;
  if ('call_id' in data && typeof data.call_id === 'string') return data.call_id.split('/', 1)[0];
  return undefined;
}

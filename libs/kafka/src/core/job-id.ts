/** The job that an event is about: its `job_id`, or `call_id`, which is the job's for a message. */
export function jobIdOf(data: unknown): string | undefined {
  if (typeof data !== 'object' || data === null) return undefined;
  if ('job_id' in data && typeof data.job_id === 'string') return data.job_id;
  if ('call_id' in data && typeof data.call_id === 'string') return data.call_id;
  return undefined;
}

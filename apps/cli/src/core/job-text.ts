import type { JobView } from '@millrace/contracts';

import { fields, printable, table } from './table.ts';

/** A job as a person reads it. */
export function jobText(job: JobView): string {
  const { spent, usage } = job;
  const parts = [
    fields({
      id: job.id,
      type: job.type,
      status: job.status,
      lane: job.lane,
      session: job.session_id,
      model: job.model,
      created: job.created_at,
      finished: job.finished_at,
      error: job.error === undefined ? undefined : `${job.error.code}: ${job.error.detail}`,
      tokens: usage && `${usage.input_tokens} in, ${usage.output_tokens} out`,
      spent:
        spent &&
        `$${spent.usd}, ${spent.iterations} model calls, ${spent.tool_calls} tool calls`,
      'again for': job.redrive_of,
      'fork of': job.fork_of,
      trace: job.trace_id,
    }),
  ];
  if (job.attempts !== undefined && job.attempts.length > 0) {
    parts.push(
      table(job.attempts, {
        attempt: ({ number }) => number,
        outcome: ({ outcome }) => outcome,
        code: ({ code }) => code,
        http: ({ http_status }) => http_status,
        started: ({ started_at }) => started_at,
        ended: ({ ended_at }) => ended_at,
      }),
    );
  }
  if (job.result !== undefined) parts.push(printable(job.result));
  return parts.join('\n\n');
}

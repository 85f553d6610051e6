import { createHash } from 'node:crypto';

import { inlineBodyBytesMax, type JobFinished } from '@millrace/contracts';

import { outlineOf, resultUrlOf } from './callback-body.ts';

/**
 * What a registered endpoint is told: `{type, timestamp, data}`, as Standard Webhooks has it. The
 * bytes are the same for every endpoint that wants them so.
 */
export interface EndpointBodies {
  readonly full: Buffer;
  readonly thin: Buffer;
}

/** The end of a job. Above 256 KiB, or when its result travels by reference, full is thin too. */
export function jobBodiesOf(job: JobFinished, type: string, publicUrl: string): EndpointBodies {
  const thinData = {
    job_id: job.job_id,
    status: job.status,
    result_url: resultUrlOf(job, publicUrl),
  };
  const body = (data: object) => serialise({ type, timestamp: job.finished_at, data });
  const thin = body(thinData);
  if (job.message_ref !== undefined) return { thin, full: body({ ...thinData, truncated: true }) };
  const full = body({ ...outlineOf(job), result: job.result ?? null });
  if (full.length <= inlineBodyBytesMax) return { thin, full };
  const sha256 = createHash('sha256').update(full).digest('hex');
  return { thin, full: body({ ...thinData, truncated: true, size: full.length, sha256 }) };
}

/** A notice is small: there is nothing to leave out. */
export function noticeBodiesOf(notice: {
  readonly type: string;
  readonly timestamp: string;
  readonly data: object;
}): EndpointBodies {
  const { type, timestamp, data } = notice;
  const body = serialise({ type, timestamp, data });
  return { full: body, thin: body };
}

function serialise(body: object): Buffer {
  return Buffer.from(JSON.stringify(body));
}

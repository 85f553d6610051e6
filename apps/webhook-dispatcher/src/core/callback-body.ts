import { createHash } from 'node:crypto';

import { inlineBodyBytesMax, type CallbackBody, type JobFinished } from '@millrace/contracts';

/** Characters of an error's detail that a thin body keeps. */
const thinDetailLengthMax = 1_000;

/**
 * The body that a job's own `callback_url` gets: the article's shape. Above 256 KiB, or when the
 * result itself travels by reference, a thin one that says where the result is.
 */
export function callbackBodyOf(job: JobFinished, publicUrl: string): Buffer {
  if (job.message_ref !== undefined) return serialise(thinBody(job, publicUrl));
  const full = serialise({ ...outlineOf(job), result: job.result ?? null });
  if (full.length <= inlineBodyBytesMax) return full;
  return serialise({
    ...thinBody(job, publicUrl),
    size: full.length,
    sha256: createHash('sha256').update(full).digest('hex'),
  });
}

function thinBody(job: JobFinished, publicUrl: string): CallbackBody {
  const { error, ...outline } = outlineOf(job);
  return {
    ...outline,
    ...(error === undefined
      ? {}
      : { error: { code: error.code, detail: error.detail.slice(0, thinDetailLengthMax) } }),
    truncated: true,
    result_url: resultUrlOf(job, publicUrl),
  };
}

/** Where the whole result is read. */
export function resultUrlOf(job: JobFinished, publicUrl: string): string {
  return `${publicUrl.replace(/\/+$/, '')}/v1/jobs/${encodeURIComponent(job.job_id)}`;
}

/** All that is told of a job but its result. */
export function outlineOf(job: JobFinished): CallbackBody {
  return {
    job_id: job.job_id,
    status: job.status,
    result: null,
    ...(job.error === undefined ? {} : { error: job.error }),
    ...(job.usage === undefined ? {} : { usage: job.usage }),
    ...(job.stand_in === undefined ? {} : { stand_in: job.stand_in }),
    finished_at: job.finished_at,
    ...(job.metadata === undefined ? {} : { metadata: job.metadata }),
  };
}

function serialise(body: CallbackBody): Buffer {
  return Buffer.from(JSON.stringify(body));
}

/** Jobs that have ended, as claude-worker tells of them, and nobody ever ran. */
import { now } from './arrivals.mjs';
import { createdAt, eventRecord } from './event-record.mjs';

const topic = 'jobs.finished.v1';
/** Records in one produce request. */
const batchSize = 500;
const usage = { input_tokens: 12, output_tokens: 9 };

/** @param {{ id: string, tenant?: string, callback?: string }} job */
export function finishedJob({ id, tenant = 'default', callback }) {
  return eventRecord(topic, 'millrace.job.succeeded.v1', {
    id: `${tenant}:${id}:finished`,
    key: id,
    tenant,
    data: {
      tenant,
      job_id: id,
      type: 'message',
      status: 'succeeded',
      model: 'claude-sonnet-5-5',
      result: 'The stand-in of the bench answers with one short sentence.',
      usage,
      attempts: [],
      ...(callback === undefined ? {} : { callback: { url: callback } }),
      created_at: createdAt,
      finished_at: createdAt,
    },
  });
}

/** As fast as Kafka takes them. */
export async function publishAll({ producer }, records) {
  for (let from = 0; from < records.length; from += batchSize) {
    await producer.send({ topic, messages: records.slice(from, from + batchSize) });
  }
}

/**
 * Each at its time, whether or not the one before was acknowledged.
 * @param {import('./bench-stack.mjs').Bench} bench
 * @param {{ records: ReturnType<typeof finishedJob>[], perSecond: number }} load
 * @returns {Promise<Map<string, number>>} when each was handed to the producer, by its job's id
 */
export async function publishPaced({ producer }, { records, perSecond }) {
  const publishedAt = new Map();
  const startedAt = now();
  const sends = [];
  for (const [n, record] of records.entries()) {
    const dueInMs = startedAt + (n * 1000) / perSecond - now();
    if (dueInMs > 0) await new Promise((resolve) => setTimeout(resolve, dueInMs));
    publishedAt.set(record.key, now());
    sends.push(producer.send({ topic, messages: [record] }));
  }
  await Promise.all(sends);
  return publishedAt;
}

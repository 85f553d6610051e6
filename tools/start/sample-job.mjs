/**
 * The main job, once, as a newcomer should see it: an upstream system publishes it to Kafka, the
 * answer is streamed, the webhook arrives and verifies, and the job is read back.
 */
import { relative } from 'node:path';

import { cloudEventHeaders, isTerminal, topics, traceHeaders } from '@millrace/contracts';
import { Kafka, logLevel } from 'kafkajs';

import { StackError } from '../stack/stack-error.mjs';
import { until } from '../stack/wait.mjs';
import { dim, formatMs, green, print, printHeading } from '../terminal.mjs';
import { readEvents } from './event-stream.mjs';
import { ProseWriter } from './prose-writer.mjs';
import { beginUpstreamTrace } from './upstream-trace.mjs';

/** Ingest learns of the job from the topic: a moment later. */
const intakeTimeoutMs = 20_000;
/** A real model's whole answer, retries included. */
const answerTimeoutMs = 10 * 60_000;
/** The webhook follows the answer at once; a second attempt comes after 5 s. */
const webhookTimeoutMs = 30_000;
const answerTokensMax = 1_024;

/**
 * @typedef {import('../stack.mjs').Stack} Stack
 *
 * @typedef {object} Job
 * @property {Stack} stack
 * @property {string} jobId
 * @property {ReturnType<typeof beginUpstreamTrace>} trace
 * @property {Promise<void>} [traceSent]
 * @property {number} startedAt
 * @property {AbortSignal} signal
 */

/**
 * @param {object} options
 * @param {Stack} options.stack
 * @param {string} options.jobId
 * @param {import('./options.mjs').SampleDocument} options.document
 * @param {AbortSignal} options.signal
 * @returns {Promise<Error | undefined>} what went wrong
 */
export async function doSampleJob({ stack, jobId, document, signal }) {
  const shown = relative(process.env['INIT_CWD'] ?? process.cwd(), document.path);
  const name = shown.startsWith('..') ? document.path : shown;
  printHeading(`The main job, once: a summary of ${name}`);
  /** @type {Job} */
  const job = {
    stack,
    jobId,
    trace: beginUpstreamTrace({ topic: topics.jobsSubmitted.name, jobId }),
    startedAt: performance.now(),
    signal,
  };
  try {
    await publish(job, document.text);
    await followStream(job);
    await expectWebhook(job);
    await readBack(job);
    await job.traceSent;
    print(`  ${''.padStart(8)}  ${'trace'.padEnd(10)} ${job.trace.traceId}`);
    return undefined;
  } catch (error) {
    if (signal.aborted) return undefined;
    if (error instanceof StackError) return error;
    throw error;
  }
}

/** @returns {string} an id that sorts by time and can be read out */
export const newJobId = () =>
  `sample-${new Date().toISOString().replaceAll(/[-:.]/g, '').toLowerCase()}`;

/** @param {Job} job @param {string} what @param {string} detail */
function tell({ startedAt }, what, detail) {
  const time = `+${formatMs(performance.now() - startedAt)}`.padStart(8);
  print(`  ${dim(time)}  ${what.padEnd(10)} ${detail}`);
}

/**
 * Stands for a system that knows of Millrace only its topic.
 * @param {Job} job
 * @param {string} text
 */
async function publish(job, text) {
  const { stack, jobId, trace } = job;
  const topic = topics.jobsSubmitted.name;
  const kafka = new Kafka({
    brokers: [stack.kafkaBroker],
    clientId: 'sample-upstream',
    logLevel: logLevel.NOTHING,
  });
  const producer = kafka.producer({ allowAutoTopicCreation: false });
  await producer.connect();
  job.startedAt = performance.now();
  const [record] = await producer.send({
    topic,
    acks: -1,
    messages: [
      {
        key: jobId,
        headers: {
          [cloudEventHeaders.id]: jobId,
          [cloudEventHeaders.source]: 'sample-upstream',
          [cloudEventHeaders.type]: 'millrace.job.submitted.v1',
          [cloudEventHeaders.specVersion]: '1.0',
          [cloudEventHeaders.time]: new Date().toISOString(),
          [cloudEventHeaders.contentType]: 'application/json',
          [traceHeaders.parent]: trace.traceparent,
        },
        value: JSON.stringify(submission(job, text)),
      },
    ],
  });
  const place = `partition ${record?.partition}, offset ${record?.baseOffset}`;
  tell(job, 'published', `${topic} ${dim(place)}`);
  // A collector that is not there takes its time to say so: nothing waits for it here.
  job.traceSent = trace.end();
  await producer.disconnect();
}

/** @param {Job} job @param {string} text */
const submission = ({ stack, jobId }, text) => ({
  job_id: jobId,
  type: 'message',
  params: {
    max_tokens: answerTokensMax,
    stream: true,
    messages: [
      {
        role: 'user',
        content: `Summarise this document in a few sentences.\n\n<document>\n${text}\n</document>`,
      },
    ],
  },
  callback_url: `${stack.urls['receiver']}/hooks`,
  metadata: { source: 'npm start' },
});

/** @param {Job} job prints the answer as it is written */
async function followStream(job) {
  const response = await until('The job is known to the API', intakeTimeoutMs, async () => {
    const tried = await call(job, `/v1/jobs/${job.jobId}/events`, 'text/event-stream');
    if (tried.status !== 404) return tried;
    await tried.body?.cancel();
    return undefined;
  });
  if (!response.ok || response.body === null) {
    throw new StackError(`The job's event stream answered HTTP ${response.status}.`);
  }
  tell(job, 'accepted', `job ${job.jobId}`);
  const prose = new ProseWriter('            │ ');
  for await (const { event, data } of readEvents(response.body)) {
    if (event.startsWith('job.') && event !== 'job.running') break;
    if (event === 'stream.restarted') prose.restart();
    const text = textOf(data);
    if (text === undefined) continue;
    if (prose.isEmpty) tell(job, 'streaming', dim('the first token is there'));
    prose.write(text);
  }
  prose.end();
}

/** @param {unknown} data @returns {string | undefined} the piece of the answer in an event */
function textOf(data) {
  if (typeof data !== 'object' || data === null || !('text' in data)) return undefined;
  return typeof data.text === 'string' && data.text !== '' ? data.text : undefined;
}

/** @param {Job} job */
async function expectWebhook(job) {
  await until('The job has ended', answerTimeoutMs, async () => {
    const { status } = await readJob(job);
    return isTerminal(status) || undefined;
  });
  const delivery = await until('The webhook was received', webhookTimeoutMs, async () => {
    const response = await fetch(`${job.stack.urls['receiver']}/received`, { signal: job.signal });
    const { data } = /** @type {{ data: Delivery[] }} */ (await response.json());
    return data.find(({ job_id }) => job_id === job.jobId);
  });
  if (!delivery.verified) {
    throw new StackError('A webhook arrived whose signatures do not verify: see /received.');
  }
  tell(job, 'webhook', `${green('both signatures verified')} ${dim(delivery.webhook_id)}`);
  if (!delivery.traceparent?.includes(job.trace.traceId)) {
    throw new StackError(`The webhook's traceparent is of another trace: ${delivery.traceparent}.`);
  }
}

/**
 * @typedef {object} Delivery as the sample receiver lists it
 * @property {string} job_id
 * @property {string} webhook_id
 * @property {boolean} verified
 * @property {string} [traceparent]
 */

/** @param {Job} job */
async function readBack(job) {
  const view = await readJob(job);
  if (view.status !== 'succeeded') {
    const { code = '', detail = '' } = view.error ?? {};
    throw new StackError(`The job ended as ${view.status}: ${code} ${detail}`.trimEnd());
  }
  const facts = [
    view.model,
    `${view.usage?.input_tokens} + ${view.usage?.output_tokens} tokens`,
    `${view.attempts?.length} attempt${view.attempts?.length === 1 ? '' : 's'}`,
    ...(view.stand_in === true ? ['by the stand-in'] : []),
  ];
  tell(job, 'read back', `GET /v1/jobs/${job.jobId}: ${green(view.status)}`);
  print(`  ${''.padStart(8)}  ${''.padEnd(10)} ${dim(facts.join(', '))}`);
}

/** @param {Job} job @returns {Promise<import('@millrace/contracts').JobView>} */
async function readJob(job) {
  const response = await call(job, `/v1/jobs/${job.jobId}`, 'application/json');
  if (!response.ok) throw new StackError(`GET /v1/jobs/${job.jobId}: HTTP ${response.status}.`);
  return /** @type {Promise<import('@millrace/contracts').JobView>} */ (response.json());
}

/** @param {Job} job @param {string} path @param {string} accept */
const call = ({ stack, signal }, path, accept) =>
  fetch(`${stack.urls['api']}${path}`, {
    headers: { authorization: `Bearer ${stack.apiKey}`, accept },
    signal,
  });

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { CompressionTypes, Kafka, logLevel, type Message } from 'kafkajs';

/**
 * The whole system as `e2e/start-stack.mjs` started it for all stories: real services, Kafka and
 * Postgres, and the Claude stand-in. A story talks to it only as users do.
 */
function setting(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: run the stories by npm test`);
  return value;
}

export const stack = {
  url: setting('MILLRACE_E2E_URL'),
  /** Of each replica of ingest. */
  apiUrls: setting('MILLRACE_E2E_URLS').split(','),
  /** Of each replica of each service. */
  serviceUrls: setting('MILLRACE_E2E_SERVICE_URLS').split(','),
  claudeUrl: setting('MILLRACE_E2E_CLAUDE_URL'),
  kafka: setting('MILLRACE_E2E_KAFKA'),
  apiKey: setting('MILLRACE_E2E_API_KEY'),
  /** The operator's. */
  adminKey: setting('MILLRACE_E2E_ADMIN_KEY'),
  webhookSecret: setting('MILLRACE_E2E_WEBHOOK_SECRET'),
  home: setting('MILLRACE_E2E_HOME'),
  otlpPort: Number(setting('MILLRACE_E2E_OTLP_PORT')),
};

/** A job as the API shows it, as far as the stories look at it. */
export interface ShownJob {
  readonly id: string;
  readonly status: string;
  readonly result?: string;
  readonly stand_in?: boolean;
  readonly trace_id: string;
  readonly finished_at?: string;
  readonly error?: { code: string; detail: string };
  readonly attempts?: {
    readonly number: number;
    readonly outcome: string;
    readonly http_status?: number;
    readonly started_at: string;
    readonly ended_at: string;
  }[];
}

const terminal = ['succeeded', 'failed', 'cancelled', 'expired'];

/** One request to the HTTP API with the default tenant's key. */
export function request(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (!headers.has('authorization')) headers.set('authorization', `Bearer ${stack.apiKey}`);
  if (init.body !== undefined && !headers.has('content-type')) {
    headers.set('content-type', 'application/json');
  }
  return fetch(`${stack.url}${path}`, { ...init, headers });
}

/** Hands a job over by HTTP. @throws when it is not accepted. */
export async function submit(
  job: object,
  headers: Record<string, string> = {},
): Promise<ShownJob> {
  const response = await request('/v1/jobs', {
    method: 'POST',
    headers,
    body: JSON.stringify(job),
  });
  if (response.status !== 202) throw new Error(`${response.status}: ${await response.text()}`);
  return JSON.parse(await response.text());
}

/** @returns the job, or undefined while the API does not know it. */
export async function findJob(id: string): Promise<ShownJob | undefined> {
  const response = await request(`/v1/jobs/${id}`);
  const text = await response.text();
  return response.status === 200 ? JSON.parse(text) : undefined;
}

/** Waits until a job has ended, and returns it. */
export function ended(id: string, timeoutMs = 60_000): Promise<ShownJob> {
  return until(`the end of job ${id}`, timeoutMs, async () => {
    const job = await findJob(id);
    return job !== undefined && terminal.includes(job.status) ? job : undefined;
  });
}

/** Waits for a condition: the probe's first value that is not undefined or false. */
export async function until<T>(
  what: string,
  timeoutMs: number,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const retry = { retries: 30, maxRetryTime: 2_000 };

/** A client of another system: it knows the topics and nothing else. */
export const upstream = new Kafka({
  clientId: 'e2e-upstream',
  brokers: [stack.kafka],
  logLevel: logLevel.NOTHING,
  retry,
});

/** Publishes records to a topic and waits for the acknowledgement. */
export async function produce(
  topic: string,
  messages: Message[],
  compression = CompressionTypes.None,
): Promise<void> {
  const producer = upstream.producer({ allowAutoTopicCreation: false });
  await producer.connect();
  try {
    await producer.send({ topic, messages, compression, acks: -1 });
  } finally {
    await producer.disconnect();
  }
}

export interface ConsumedRecord {
  readonly key: string | null;
  readonly value: Buffer | null;
  readonly headers: Record<string, string>;
}

/** Reads a topic from its beginning into a list that grows, until it is stopped. */
export async function consume(
  topic: string,
): Promise<{ records: ConsumedRecord[]; stop: () => Promise<void> }> {
  const records: ConsumedRecord[] = [];
  // A group that comes together anew is handed what it has not committed: the same records.
  const places = new Set<string>();
  let isStopped = false;
  const consumer = upstream.consumer({
    groupId: `e2e-${topic}-${crypto.randomUUID()}`,
    allowAutoTopicCreation: false,
    // One that crashed while a story stopped Kafka would be started again for ever.
    retry: { ...retry, restartOnFailure: () => Promise.resolve(!isStopped) },
  });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    eachMessage: async ({ message, partition }) => {
      const place = `${partition}/${message.offset}`;
      if (places.has(place)) return;
      places.add(place);
      const headers = Object.entries(message.headers ?? {}).map(([name, value]) => [
        name,
        String(value),
      ]);
      records.push({
        key: message.key?.toString() ?? null,
        value: message.value,
        headers: Object.fromEntries(headers),
      });
    },
  });
  const stop = (): Promise<void> => {
    isStopped = true;
    return consumer.disconnect();
  };
  return { records, stop };
}

/** Waits until every replica of every service says that it serves. */
export async function readyReplicas(): Promise<void> {
  await until('every replica is ready', 90_000, async () => {
    const answers = stack.serviceUrls.map((url) =>
      fetch(`${url}/readyz`).then(
        (response) => response.ok,
        () => false,
      ),
    );
    return (await Promise.all(answers)).every(Boolean);
  });
}

/** The process id under which the stack runs a replica of a service, Kafka, or Postgres. */
export function pidOf(name: string): number | undefined {
  try {
    return Number(readFileSync(join(stack.home, 'run', `${name}.pid`), 'utf8'));
  } catch {
    return undefined;
  }
}

/** A name that no other story uses, so that stories may run in any order and twice. */
export function uniqueId(prefix: string): string {
  return `${prefix}-${crypto.randomUUID()}`;
}

/** A line for the reader of the run: `tools/check/stages.mjs` shows what begins so. */
export function say(line: string): void {
  process.stderr.write(`\n› ${line}\n`);
}

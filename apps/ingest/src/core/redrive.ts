import { isUtf8 } from 'node:buffer';

import {
  claudeRequestedSchema,
  deadLetterHeaders,
  intakeTenantOf,
  isTopicOf,
  jobIdSchema,
  jobReplySchema,
  redriveHeader,
  sessionIdSchema,
  topics,
  type OutgoingMessage,
  type Topic,
  type TenantId,
} from '@millrace/contracts';
import type { z } from 'zod';

import type { LetterOwner, StoredHeader } from './dead-letter.ts';
import { isRecord } from './canonical-json.ts';
import { hashOf, type JobOrder } from './judge-submission.ts';

/** A dead letter with all that trying it again needs. */
export interface StoredLetter {
  readonly tenant: LetterOwner;
  readonly id: string;
  /** Where the record lay before it became a dead letter. */
  readonly topic: string;
  readonly service: string;
  readonly headers: readonly StoredHeader[];
  readonly key: Buffer | null;
  /** As the record had it. */
  readonly value: Buffer | null;
  /** The same as its reader reads it: what is internal was written through the codec. */
  readonly content: Buffer | null;
  readonly redriveCount: number;
  readonly redrivenAt: Date | null;
  readonly redriveJobId: string | null;
}

/** All whose records a redrive publishes again: the topic table says it of ingest. */
const redrivable: readonly Topic[] = [
  topics.jobsSubmitted,
  topics.tenantSubmitted,
  topics.jobsFinished,
  topics.claudeRequested,
];

/** The request of a message job. A call of a workflow is the workflow's own to make again. */
const jobRequestSchema = claudeRequestedSchema.extend({
  call_id: jobIdSchema,
  session_id: sessionIdSchema.optional(),
  reply: jobReplySchema,
});
export type JobRequest = z.infer<typeof jobRequestSchema>;

/** What a redrive does. */
export type RedrivePlan =
  | { readonly kind: 'publish'; readonly message: OutgoingMessage }
  | {
      readonly kind: 'do_again';
      readonly tenant: TenantId;
      readonly request: JobRequest;
    }
  | { readonly kind: 'refused'; readonly detail: string };

/**
 * Decides by where the record lay. One of the tenant's own intake never became a job: it goes back
 * as it was. A request that failed for good was a job: it is done again as a new one. A finished
 * job that the dispatcher gave up is told again, with the header that wakes its one delivery.
 * Nothing else is a tenant's to publish. What is nobody's was read by nobody: the operator sends it
 * back as it was.
 */
export function planRedrive(letter: StoredLetter): RedrivePlan {
  const { tenant, topic } = letter;
  if (tenant === '' || intakeTenantOf(topic) === tenant) return publication(letter, {});
  if (topic === topics.claudeRequested.name) return repetition(letter, tenant);
  const isWebhook = letter.service === 'webhook-dispatcher';
  if (topic === topics.jobsFinished.name && isWebhook) {
    return publication(letter, { [redriveHeader]: `${letter.id}:${letter.redriveCount + 1}` });
  }
  return refused(`records of ${topic} cannot be redriven`);
}

/** The job that a request asked for, as a new one. `params` are the request's own. */
export function orderAgain(
  request: JobRequest,
  o: { readonly params: Readonly<Record<string, unknown>>; readonly letter: StoredLetter },
): JobOrder {
  const model = o.params['model'];
  return {
    type: 'message',
    lane: request.lane,
    sessionId: request.session_id,
    model: typeof model === 'string' ? model : undefined,
    stream: request.stream,
    tainted: false,
    params: o.params,
    callbackUrl: request.reply.callback?.url,
    metadata: request.reply.metadata,
    budget: undefined,
    // Its times were the first job's: they have passed.
    times: { runAt: undefined, completeBy: undefined },
    requestHash: hashOf({ letter: o.letter.id, redrive: o.letter.redriveCount + 1 }),
  };
}

function repetition(letter: StoredLetter, tenant: TenantId): RedrivePlan {
  const request = jobRequestSchema.safeParse(readJson(letter.content));
  return request.success
    ? { kind: 'do_again', tenant, request: request.data }
    : refused('the record is no request of a job that can be read');
}

/** The JSON of a body as an object; null for what is none. */
export function readJson(body: Buffer | string | null): Record<string, unknown> | null {
  try {
    const parsed: unknown = JSON.parse(body?.toString('utf8') ?? '');
    return isRecord(parsed) ? parsed : null;
  } catch {
    return null;
  }
}

function publication(letter: StoredLetter, added: Readonly<Record<string, string>>): RedrivePlan {
  const { id, redriveCount, tenant, topic, value } = letter;
  if (!redrivable.some((row) => isTopicOf(row, topic))) {
    return refused(`records of ${topic} cannot be redriven`);
  }
  const headers = textHeaders(letter.headers);
  const key = letter.key === null ? null : textOf(letter.key);
  if (headers === null || key === undefined) {
    // The outbox keeps text. To send something else than what came would be no redrive.
    return refused('its key or a header is not text, or a header comes twice: publish it yourself');
  }
  // The record may have no id, and no key, of its own; and the first one may still be on its way.
  const outboxId = `redrive/${tenant}/${id}/${redriveCount + 1}`;
  const message = { topic, key, value, headers: { ...headers, ...added }, outboxId };
  return { kind: 'publish', message };
}

const ours: ReadonlySet<string> = new Set([...Object.values(deadLetterHeaders), redriveHeader]);

/** The record's own headers; null when they are not each one text. */
function textHeaders(stored: readonly StoredHeader[]): Record<string, string> | null {
  const own = stored.filter(([name]) => !ours.has(name));
  const texts = own.map(([name, base64]) => [name, textOf(Buffer.from(base64, 'base64'))] as const);
  const isPlain = texts.every(([name, text]) => text !== undefined && !name.includes('\u0000'));
  const headers = Object.fromEntries(texts.map(([name, text]) => [name, text ?? '']));
  return isPlain && Object.keys(headers).length === own.length ? headers : null;
}

/** Undefined for bytes that a text column would refuse or change. */
function textOf(bytes: Buffer): string | undefined {
  return isUtf8(bytes) && !bytes.includes(0) ? bytes.toString('utf8') : undefined;
}

function refused(detail: string): RedrivePlan {
  return { kind: 'refused', detail };
}

import { webhookHeaders } from '@millrace/contracts';

import {
  checkSignature,
  type SignatureScheme,
  type WebhookRefusal,
} from '../core/check-signature.ts';

/** Five minutes, as Standard Webhooks recommends. */
export const toleranceSecondsDefault = 300;

/** Headers as `fetch`, Node's `http`, Express and Fastify have them. */
export type WebhookHeaders =
  | Headers
  | Readonly<Record<string, string | readonly string[] | undefined>>;

export interface VerifyWebhookOptions {
  /** The raw bytes of the body. What was parsed and written again has other bytes. */
  readonly body: Buffer | Uint8Array | string;
  readonly headers: WebhookHeaders;
  /** `whsec_…`; while one is being rotated, the old and the new one. */
  readonly secret: string | readonly string[];
  /** Default `standard`; `hex` takes a copy of an old request for a new one. */
  readonly scheme?: SignatureScheme;
  /** Default 300. */
  readonly toleranceSeconds?: number;
  /** The time to judge by, for specs; the clock's by default. */
  readonly now?: Date;
}

export interface VerifiedWebhook {
  /** The same in every attempt, replay and redelivery of an event: what to drop copies by. */
  readonly id: string;
  /** From 1; which try of its schedule this is. A replay begins anew. */
  readonly attempt: number;
  /** Of the trace that caused it, to go on with; undefined when it has none. */
  readonly traceparent: string | undefined;
  /** The body as JSON: parse it by a schema of yours. */
  readonly payload: unknown;
}

/** Not to be believed. Answer 401 and say no more. */
export class WebhookVerificationError extends Error {
  override readonly name = 'WebhookVerificationError';
  /** As `http-errors` has them: what Nest, Fastify and Express answer with by themselves. */
  readonly statusCode = 401;
  readonly status = 401;
  readonly expose = true;

  constructor(readonly code: WebhookRefusal | 'bad_body') {
    super(`the webhook is refused: ${code}`);
  }
}

/**
 * Says who sent a webhook, and that it is whole and fresh.
 * @throws WebhookVerificationError
 * @throws RangeError when no secret was given: nothing could ever be believed.
 */
export function verifyWebhook(options: VerifyWebhookOptions): VerifiedWebhook {
  const { scheme = 'standard', toleranceSeconds = toleranceSecondsDefault } = options;
  const secrets = [options.secret].flat().filter((secret) => secret !== '');
  if (secrets.length === 0) throw new RangeError('give the secret that webhooks are signed with');
  const body = bytesOf(options.body);
  const header = headerOf(options.headers);
  const refusal = checkSignature(
    { body, header },
    { scheme, secrets, toleranceSeconds, nowMs: (options.now ?? new Date()).getTime() },
  );
  if (refusal !== null) throw new WebhookVerificationError(refusal);
  const id = header(webhookHeaders.id);
  if (!id) throw new WebhookVerificationError('missing_header');
  return {
    id,
    attempt: Number(header(webhookHeaders.attempt) ?? 1) || 1,
    traceparent: header('traceparent'),
    payload: payloadOf(body),
  };
}

function bytesOf(body: VerifyWebhookOptions['body']): Buffer {
  return typeof body === 'string' ? Buffer.from(body, 'utf8') : Buffer.from(body);
}

function headerOf(headers: WebhookHeaders): (name: string) => string | undefined {
  if (headers instanceof Headers) return (name) => headers.get(name) ?? undefined;
  const byName = new Map(
    Object.entries(headers).map(([name, value]) => [name.toLowerCase(), [value].flat()[0]]),
  );
  return (name) => byName.get(name);
}

function payloadOf(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    throw new WebhookVerificationError('bad_body');
  }
}

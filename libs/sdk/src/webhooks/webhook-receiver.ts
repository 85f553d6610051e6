import type { SignatureScheme } from '../core/check-signature.ts';
import { processOnce, type ProcessedWebhooks } from './processed-webhooks.ts';
import {
  verifyWebhook,
  WebhookVerificationError,
  type VerifiedWebhook,
  type WebhookHeaders,
} from './verify-webhook.ts';

/** Bytes of a body: Millrace sends 256 KiB at most, and a notice of its own is smaller. */
export const webhookBytesMax = 512 * 1024;

export interface WebhookReceiverOptions {
  /** `whsec_…`; while one is being rotated, the old and the new one. */
  readonly secret: string | readonly string[];
  readonly scheme?: SignatureScheme;
  readonly toleranceSeconds?: number;
  /** Where it is kept what was processed; without it every copy reaches the handler. */
  readonly processed?: ProcessedWebhooks;
  /** Answer soon: what takes longer than seconds belongs in a queue of yours. */
  readonly handler: (webhook: VerifiedWebhook) => Promise<void> | void;
}

export interface ReceiverAnswer {
  readonly status: 200 | 401 | 409;
  readonly body: Readonly<Record<string, string>>;
}

/**
 * What a receiver does with a request, whatever its framework: verify, drop what was processed,
 * hand the rest over. What the handler throws is thrown on, so that the answer is an error and the
 * webhook comes again.
 */
export async function receiveWebhook(
  request: { readonly headers: WebhookHeaders; readonly body: Buffer },
  options: WebhookReceiverOptions,
): Promise<ReceiverAnswer> {
  let webhook: VerifiedWebhook;
  try {
    webhook = verifyWebhook({ ...request, ...options });
  } catch (error) {
    if (!(error instanceof WebhookVerificationError)) throw error;
    return { status: 401, body: { error: error.code } };
  }
  const { processed, handler } = options;
  if (processed === undefined) {
    await handler(webhook);
    return { status: 200, body: { status: 'processed' } };
  }
  const once = await processOnce(processed, webhook.id, () => handler(webhook));
  // Not a 200: the sender would take it for delivered while the other one may still fail.
  if (once.status === 'in_progress') return { status: 409, body: { status: once.status } };
  return { status: 200, body: { status: once.status } };
}

import { createHmac, timingSafeEqual } from 'node:crypto';

import { webhookHeaders } from '@millrace/contracts';

const secretPrefix = 'whsec_';
/**
 * Signatures of one header that are looked at: Millrace has at most ten live secrets, and each one
 * costs a MAC of the body for every secret that is tried.
 */
const signaturesMax = 16;

/** Why a webhook is not taken. */
export type WebhookRefusal = 'missing_header' | 'stale' | 'bad_signature';

/**
 * `standard`: Standard Webhooks, which signs id and time with the body. `hex`: the plain
 * `X-Webhook-Signature` of receivers written from the article; it has no time in it, so that a
 * copy of a request is good for ever.
 */
export type SignatureScheme = 'standard' | 'hex';

export interface SignedRequest {
  /** One header by its lower-case name. */
  readonly header: (name: string) => string | undefined;
  /** The bytes as they came. */
  readonly body: Buffer;
}

export interface SignatureTerms {
  readonly scheme: SignatureScheme;
  /** `whsec_…`, each of which may have signed: both the old and the new one of a rotation. */
  readonly secrets: readonly string[];
  readonly nowMs: number;
  /** Seconds that the sender's clock and the way may differ from ours, before and after. */
  readonly toleranceSeconds: number;
}

/** Null when one of the secrets has signed these bytes, and lately. Takes as long either way. */
export function checkSignature(
  request: SignedRequest,
  terms: SignatureTerms,
): WebhookRefusal | null {
  return terms.scheme === 'hex' ? checkHex(request, terms) : checkStandard(request, terms);
}

function checkStandard(request: SignedRequest, terms: SignatureTerms): WebhookRefusal | null {
  const id = request.header(webhookHeaders.id);
  const timestamp = request.header(webhookHeaders.timestamp);
  const signatures = request.header(webhookHeaders.signature);
  if (!id || !timestamp || !signatures) return 'missing_header';
  if (!isFresh(timestamp, terms)) return 'stale';
  const given = signatures.split(' ').slice(0, signaturesMax);
  const isSigned = terms.secrets
    .map((secret) => standardMac(secret, `${id}.${timestamp}.`, request.body))
    .flatMap((mac) => given.map((signature) => isEqual(signature, `v1,${mac}`)))
    .some(Boolean);
  return isSigned ? null : 'bad_signature';
}

function checkHex(request: SignedRequest, { secrets }: SignatureTerms): WebhookRefusal | null {
  const signature = request.header(webhookHeaders.hexSignature);
  if (!signature) return 'missing_header';
  const isSigned = secrets
    .map((secret) => createHmac('sha256', secret).update(request.body).digest('hex'))
    .map((mac) => isEqual(signature, mac))
    .some(Boolean);
  return isSigned ? null : 'bad_signature';
}

function standardMac(secret: string, before: string, body: Buffer): string {
  const encoded = secret.startsWith(secretPrefix) ? secret.slice(secretPrefix.length) : secret;
  const key = Buffer.from(encoded, 'base64');
  return createHmac('sha256', key).update(before).update(body).digest('base64');
}

/** Whole seconds since 1970, as the specification has them; anything else is not fresh. */
function isFresh(timestamp: string, { nowMs, toleranceSeconds }: SignatureTerms): boolean {
  if (!/^\d{1,12}$/.test(timestamp)) return false;
  return Math.abs(Number(timestamp) - nowMs / 1000) <= toleranceSeconds;
}

function isEqual(given: string, wanted: string): boolean {
  const a = Buffer.from(given, 'utf8');
  const b = Buffer.from(wanted, 'utf8');
  return a.length === b.length && timingSafeEqual(a, b);
}

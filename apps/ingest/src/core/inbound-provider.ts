import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

import { inboundBytesMax, inboundGitHubBytesMax, type InboundProvider } from '@millrace/contracts';

/** Seconds that a provider's clock and the way may differ from ours: what each of them advises. */
const toleranceSeconds = 300;
/** Signatures of one header that are looked at: a MAC is the cost of each secret, not of these. */
const signaturesMax = 16;

export interface InboundRequest {
  /** One header by its lower-case name. */
  readonly header: (name: string) => string | undefined;
  /** The bytes as they came. */
  readonly body: Buffer;
}

/** What a source says of itself that a provider's rule may need. */
export interface InboundTerms {
  readonly secrets: readonly string[];
  readonly nowMs: number;
  readonly signatureHeader: string;
}

/** How one provider's webhooks are understood. */
interface ProviderRule {
  readonly bytesMax: number;
  /** Whether one of the secrets has signed this, and lately. Takes as long for each of them. */
  readonly isSigned: (request: InboundRequest, terms: InboundTerms) => boolean;
  /** What it calls this delivery, the same in each of its tries. */
  readonly deliveryId: (request: InboundRequest, payload: unknown) => string | undefined;
  readonly eventType: (request: InboundRequest, payload: unknown) => string | undefined;
}

const rules: Readonly<Record<InboundProvider, ProviderRule>> = {
  // docs.github.com: validating webhook deliveries. No time is signed.
  github: {
    bytesMax: inboundGitHubBytesMax,
    isSigned: ({ header, body }, { secrets }) =>
      isAny([header('x-hub-signature-256')], secrets, (secret) => `sha256=${hex(secret, [body])}`),
    deliveryId: ({ header }) => header('x-github-delivery'),
    eventType: ({ header }, payload) => {
      const event = header('x-github-event');
      const action = textAt(payload, 'action');
      return event !== undefined && action !== undefined ? `${event}.${action}` : event;
    },
  },
  // docs.stripe.com: verify webhook signatures manually.
  stripe: {
    bytesMax: inboundBytesMax,
    isSigned: ({ header, body }, terms) => {
      const parts = (header('stripe-signature') ?? '').split(',').map((part) => part.split('='));
      const valuesOf = (name: string) =>
        parts.filter(([key]) => key === name).map(([, value]) => value);
      const [timestamp] = valuesOf('t');
      if (!isFresh(timestamp, terms)) return false;
      return isAny(valuesOf('v1'), terms.secrets, (secret) => hex(secret, [`${timestamp}.`, body]));
    },
    deliveryId: (_request, payload) => textAt(payload, 'id'),
    eventType: (_request, payload) => textAt(payload, 'type'),
  },
  // api.slack.com: verifying requests from Slack, version v0.
  slack: {
    bytesMax: inboundBytesMax,
    isSigned: ({ header, body }, terms) => {
      const timestamp = header('x-slack-request-timestamp');
      if (!isFresh(timestamp, terms)) return false;
      const signed = (secret: string) => `v0=${hex(secret, [`v0:${timestamp}:`, body])}`;
      return isAny([header('x-slack-signature')], terms.secrets, signed);
    },
    deliveryId: (_request, payload) => textAt(payload, 'event_id') ?? textAt(payload, 'trigger_id'),
    eventType: (_request, payload) => textAt(payload, 'event', 'type') ?? textAt(payload, 'type'),
  },
  // developer.zendesk.com: verifying webhook requests. Nothing stands between time and body.
  zendesk: {
    bytesMax: inboundBytesMax,
    isSigned: ({ header, body }, terms) => {
      const timestamp = header('x-zendesk-webhook-signature-timestamp');
      if (!isFreshDate(timestamp, terms)) return false;
      const signed = (secret: string) =>
        createHmac('sha256', secret).update(timestamp ?? '').update(body).digest('base64');
      return isAny([header('x-zendesk-webhook-signature')], terms.secrets, signed);
    },
    deliveryId: ({ header }) => header('x-zendesk-webhook-invocation-id'),
    eventType: (_request, payload) => textAt(payload, 'type'),
  },
  // standardwebhooks.com: keys with the decoded bytes of `whsec_…`.
  standard: {
    bytesMax: inboundBytesMax,
    isSigned: ({ header, body }, terms) => {
      const id = header('webhook-id');
      const timestamp = header('webhook-timestamp');
      if (id === undefined || !isFresh(timestamp, terms)) return false;
      const signed = (secret: string) => {
        const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
        const mac = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body);
        return `v1,${mac.digest('base64')}`;
      };
      return isAny((header('webhook-signature') ?? '').split(' '), terms.secrets, signed);
    },
    deliveryId: ({ header }) => header('webhook-id'),
    eventType: (_request, payload) => textAt(payload, 'type'),
  },
  // The plain form that most others have: the hex HMAC of the body, perhaps after `sha256=`.
  generic: {
    bytesMax: inboundBytesMax,
    isSigned: ({ header, body }, { secrets, signatureHeader }) => {
      const given = header(signatureHeader)?.replace(/^sha256=/i, '').toLowerCase();
      return isAny([given], secrets, (secret) => hex(secret, [body]));
    },
    deliveryId: () => undefined,
    eventType: (_request, payload) => textAt(payload, 'type'),
  },
};

export const signatureHeaderDefault = 'x-webhook-signature';

export function inboundBytesMaxOf(provider: InboundProvider): number {
  return rules[provider].bytesMax;
}

/** Whether it is to be believed. */
export function isSigned(
  provider: InboundProvider,
  request: InboundRequest,
  terms: InboundTerms,
): boolean {
  return rules[provider].isSigned(request, terms);
}

/** What the delivery is called, and what it is about. */
export interface InboundFacts {
  readonly deliveryId: string;
  readonly eventType: string | undefined;
}

/** A delivery that has no name has that of its body: the same body is then the same delivery. */
export function inboundFactsOf(
  source: { readonly provider: InboundProvider; readonly deliveryHeader: string | null },
  request: InboundRequest,
  payload: unknown,
): InboundFacts {
  const rule = rules[source.provider];
  const named =
    source.deliveryHeader === null
      ? rule.deliveryId(request, payload)
      : request.header(source.deliveryHeader);
  const deliveryId = named ?? createHash('sha256').update(request.body).digest('hex');
  return { deliveryId, eventType: rule.eventType(request, payload) };
}

/** What is answered at once and starts no job: how providers find out whether somebody is there. */
export type Handshake =
  | { readonly kind: 'challenge'; readonly challenge: string }
  | { readonly kind: 'ping' };

export function handshakeOf(
  provider: InboundProvider,
  request: InboundRequest,
  payload: unknown,
): Handshake | null {
  if (provider === 'github' && request.header('x-github-event') === 'ping') return { kind: 'ping' };
  if (provider === 'slack' && textAt(payload, 'type') === 'url_verification') {
    return { kind: 'challenge', challenge: textAt(payload, 'challenge') ?? '' };
  }
  return null;
}

function hex(secret: string, parts: readonly (string | Buffer)[]): string {
  const mac = createHmac('sha256', secret);
  for (const part of parts) mac.update(part);
  return mac.digest('hex');
}

function isAny(
  given: readonly (string | undefined)[],
  secrets: readonly string[],
  signed: (secret: string) => string,
): boolean {
  const signatures = given.filter((each) => each !== undefined).slice(0, signaturesMax);
  return secrets
    .map(signed)
    .flatMap((wanted) => signatures.map((signature) => isEqual(signature, wanted)))
    .some(Boolean);
}

function isEqual(given: string, wanted: string): boolean {
  const a = Buffer.from(given, 'utf8');
  const b = Buffer.from(wanted, 'utf8');
  return a.length === b.length && timingSafeEqual(a, b);
}

/** By whole seconds since 1970. */
function isFresh(seconds: string | undefined, { nowMs }: InboundTerms): boolean {
  if (seconds === undefined || !/^\d{1,12}$/.test(seconds)) return false;
  return Math.abs(Number(seconds) - nowMs / 1000) <= toleranceSeconds;
}

/** By a date of RFC 3339. */
function isFreshDate(date: string | undefined, { nowMs }: InboundTerms): boolean {
  const atMs = Date.parse(date ?? '');
  return Number.isFinite(atMs) && Math.abs(atMs - nowMs) <= toleranceSeconds * 1000;
}

function textAt(payload: unknown, ...path: readonly string[]): string | undefined {
  let value = payload;
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = Object.entries(value).find(([name]) => name === key)?.[1];
  }
  return typeof value === 'string' && value !== '' ? value : undefined;
}

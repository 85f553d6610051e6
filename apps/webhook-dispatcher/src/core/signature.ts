import { createHmac } from 'node:crypto';

import { webhookHeaders } from '@millrace/contracts';

export interface SignedContent {
  readonly id: string;
  readonly timestampSeconds: number;
  readonly body: Buffer;
  /** `whsec_…`, newest first; at least one. */
  readonly secrets: readonly string[];
}

const secretPrefix = 'whsec_';

/**
 * The headers that prove who sent a body. Standard Webhooks keys with the decoded bytes of every
 * live secret; receivers written from the article key with the text of the newest one.
 */
export function signatureHeaders(content: SignedContent): Record<string, string> {
  const { id, timestampSeconds, body, secrets } = content;
  const [newest] = secrets;
  if (newest === undefined) throw new RangeError('a webhook needs a secret to be signed with');
  return {
    [webhookHeaders.id]: id,
    [webhookHeaders.timestamp]: String(timestampSeconds),
    [webhookHeaders.signature]: secrets
      .map((secret) => standardSignature(secret, content))
      .join(' '),
    [webhookHeaders.hexSignature]: createHmac('sha256', newest).update(body).digest('hex'),
  };
}

function standardSignature(secret: string, { id, timestampSeconds, body }: SignedContent): string {
  const key = Buffer.from(secret.slice(secretPrefix.length), 'base64');
  const mac = createHmac('sha256', key).update(`${id}.${timestampSeconds}.`).update(body);
  return `v1,${mac.digest('base64')}`;
}

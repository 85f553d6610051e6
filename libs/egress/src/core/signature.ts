import { createHmac, createSecretKey, type KeyObject } from 'node:crypto';

import { webhookHeaders } from '@millrace/contracts';

export interface SignedContent {
  readonly id: string;
  readonly timestampSeconds: number;
  readonly body: Buffer;
  /** Of the live secrets, newest first; at least one. */
  readonly keys: readonly SigningKeys[];
}

const secretPrefix = 'whsec_';

/**
 * The two keys that one secret `whsec_…` stands for. Made once and kept: to make a key costs more
 * than to sign with it.
 */
export interface SigningKeys {
  /** Standard Webhooks: the decoded bytes. */
  readonly standard: KeyObject;
  /** The article's receivers: the UTF-8 bytes of the whole text. */
  readonly text: KeyObject;
}

export function signingKeysOf(secret: string): SigningKeys {
  return {
    standard: createSecretKey(Buffer.from(secret.slice(secretPrefix.length), 'base64')),
    text: createSecretKey(Buffer.from(secret, 'utf8')),
  };
}

/**
 * The headers that prove who sent a body. Standard Webhooks keys with the decoded bytes of every
 * live secret; receivers written from the article key with the text of the newest one.
 */
export function signatureHeaders(content: SignedContent): Record<string, string> {
  const { id, timestampSeconds, body, keys } = content;
  const [newest] = keys;
  if (newest === undefined) throw new RangeError('a webhook needs a secret to be signed with');
  return {
    [webhookHeaders.id]: id,
    [webhookHeaders.timestamp]: String(timestampSeconds),
    [webhookHeaders.signature]: keys
      .map(({ standard }) => standardSignature(standard, content))
      .join(' '),
    [webhookHeaders.hexSignature]: createHmac('sha256', newest.text)
      .update(body)
      .digest('hex'),
  };
}

function standardSignature(key: KeyObject, { id, timestampSeconds, body }: SignedContent): string {
  const mac = createHmac('sha256', key).update(`${id}.${timestampSeconds}.`).update(body);
  return `v1,${mac.digest('base64')}`;
}

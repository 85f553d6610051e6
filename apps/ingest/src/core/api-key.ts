import { createHash } from 'node:crypto';

/** `mr_` (a tenant's) or `mra_` (the operator's) and the base64url of 32 random bytes. */
const keyPattern = /^mra?_[A-Za-z0-9_-]{16,128}$/;
/** Hex digits of an id: nobody finds another key with the same. */
const idDigits = 32;
const last4Length = 4;

/** Random bytes of a key. */
export const apiKeyBytes = 32;

/** A key as it is kept: the key itself is known to its owner alone. */
export interface KeptApiKey {
  readonly id: string;
  readonly hash: Buffer;
  readonly last4: string;
}

/** A tenant's key out of `apiKeyBytes` random bytes. */
export function apiKeyOf(random: Buffer): string {
  return `mr_${random.toString('base64url')}`;
}

/**
 * What is kept of an API key. SHA-256 without salt or stretching is right here: a key is 256
 * random bits, so there is no dictionary to try and nothing that a slow hash would slow down,
 * while every request needs the hash.
 */
export function hashApiKey(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}

/** A key's name, by which it is listed and revoked. */
export function apiKeyIdOf(hash: Buffer): string {
  return `key_${hash.toString('hex').slice(0, idDigits)}`;
}

/** What is kept of a key, of which its owner sees the id and the last characters. */
export function keptApiKey(key: string): KeptApiKey {
  const hash = hashApiKey(key);
  return { id: apiKeyIdOf(hash), hash, last4: key.slice(-last4Length) };
}

/** The key that a request carries, or null when there is none that could be ours. */
export function presentedKey(headers: {
  readonly authorization: string | undefined;
  readonly apiKey: string | undefined;
}): string | null {
  const bearer = /^Bearer +(\S+)$/i.exec(headers.authorization ?? '')?.[1];
  const key = bearer ?? headers.apiKey ?? '';
  return keyPattern.test(key) ? key : null;
}

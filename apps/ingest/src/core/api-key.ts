import { createHash } from 'node:crypto';

/** `mr_` and the base64url of 32 random bytes; a longer text is no key of ours. */
const keyPattern = /^mr_[A-Za-z0-9_-]{16,128}$/;

/**
 * What is kept of an API key. SHA-256 without salt or stretching is right here: a key is 256
 * random bits, so there is no dictionary to try and nothing that a slow hash would slow down,
 * while every request needs the hash.
 */
export function hashApiKey(key: string): Buffer {
  return createHash('sha256').update(key).digest();
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

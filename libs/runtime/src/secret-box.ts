import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';

import { Injectable } from '@nestjs/common';

const algorithm = 'aes-256-gcm';
/** First byte of what was sealed; what was kept before there was a key is text. */
const sealedMark = 0x01;
/** Bytes that say which key it was: enough to tell a handful of live ones apart. */
const keyIdBytes = 4;
/** As NIST SP 800-38D recommends for GCM: random ones are safe for 2^32 secrets under one key. */
const ivBytes = 12;
const tagBytes = 16;
const headBytes = 1 + keyIdBytes + ivBytes + tagBytes;

interface Key {
  readonly id: Buffer;
  readonly bytes: Buffer;
}

/** What was sealed under a key that this process does not have, or was changed since. */
export class UnreadableSecretError extends Error {
  override readonly name = 'UnreadableSecretError';
}

/**
 * Seals the secrets that are kept for others (signing secrets of webhooks, of tenants, of inbound
 * sources), so that a copy of a table or a topic gives none of them away. AES-256-GCM; the place
 * that a secret belongs to is authenticated with it, so that it opens nowhere else.
 *
 * Without a key it keeps them as they are, and still reads what was kept so before there was one.
 */
@Injectable()
export class SecretBox {
  readonly #keys: readonly Key[];

  /** @param keys base64url of 32 random bytes each: the first one seals, all of them open. */
  constructor(keys: readonly string[] = []) {
    this.#keys = keys.map((text) => {
      const bytes = createHash('sha256').update(Buffer.from(text, 'base64url')).digest();
      return { id: createHash('sha256').update(bytes).digest().subarray(0, keyIdBytes), bytes };
    });
  }

  /** Whether there is a key at all. */
  get isLocked(): boolean {
    return this.#keys.length > 0;
  }

  /** How everything begins that it seals now; empty without a key. */
  get mark(): Buffer {
    const [key] = this.#keys;
    return key === undefined ? Buffer.alloc(0) : Buffer.concat([Buffer.of(sealedMark), key.id]);
  }

  /** @param place whose secret it is and what for, such as `acme/endpoint/ep_…`. */
  seal(secret: string, place: string): Buffer {
    const [key] = this.#keys;
    const text = Buffer.from(secret, 'utf8');
    if (key === undefined) return text;
    const iv = randomBytes(ivBytes);
    const cipher = createCipheriv(algorithm, key.bytes, iv, { authTagLength: tagBytes });
    cipher.setAAD(Buffer.from(place, 'utf8'));
    const body = Buffer.concat([cipher.update(text), cipher.final()]);
    return Buffer.concat([Buffer.of(sealedMark), key.id, iv, cipher.getAuthTag(), body]);
  }

  /** @throws UnreadableSecretError */
  open(sealed: Buffer, place: string): string {
    if (sealed[0] !== sealedMark) return sealed.toString('utf8');
    const id = sealed.subarray(1, 1 + keyIdBytes);
    const key = this.#keys.find((known) => known.id.equals(id));
    if (key === undefined || sealed.length < headBytes) {
      throw new UnreadableSecretError('it was sealed under a key that is not in the environment');
    }
    const iv = sealed.subarray(1 + keyIdBytes, 1 + keyIdBytes + ivBytes);
    const decipher = createDecipheriv(algorithm, key.bytes, iv, { authTagLength: tagBytes });
    decipher.setAAD(Buffer.from(place, 'utf8'));
    decipher.setAuthTag(sealed.subarray(headBytes - tagBytes, headBytes));
    try {
      const body = [decipher.update(sealed.subarray(headBytes)), decipher.final()];
      return Buffer.concat(body).toString('utf8');
    } catch (cause) {
      throw new UnreadableSecretError('it was changed, or belongs elsewhere', { cause });
    }
  }
}

import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';

/**
 * Reads a file of certificates in PEM that are trusted beside the default store.
 * @throws when it holds none, or a broken one: a service refuses to start with it.
 */
export function readCertificates(file: string): string {
  const text = readFileSync(file, 'utf8');
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw new TypeError(`${file} holds no certificate in PEM`);
  for (const block of blocks) new X509Certificate(block);
  return blocks.join('\n');
}

/**
 * Trusts the default store and these. `ca` by itself would replace the store, and no public
 * receiver would be believed any more. Made once: the store takes milliseconds to read.
 */
export function contextTrusting(certificates: string): SecureContext {
  return createSecureContext({ ca: [...getCACertificates('default'), certificates] });
}

import { z } from 'zod';

import type { EgressDispatcherOptions } from './egress-dispatcher.ts';
import { egressProxyOf, type EgressProxy } from './egress-proxy.ts';
import { readCertificates } from './trusted-certificates.ts';

/** What a service that connects to addresses of users reads from its environment. */
export interface EgressEnvironment {
  readonly MILLRACE_EGRESS_CA_FILE?: string | undefined;
  readonly MILLRACE_EGRESS_PROXY?: EgressProxy | undefined;
}

/** A file of certificates in PEM, of authorities that are trusted beside the default store. */
export const certificateFileSchema = z
  .string()
  .refine(holdsCertificates, { message: 'must be a file of certificates in PEM' });

/** The URL of a proxy, with the name and the password that it wants to see, if any. */
export const egressProxySchema = z.string().transform((text, context): EgressProxy => {
  const proxy = egressProxyOf(text);
  if (proxy !== null) return proxy;
  context.addIssue('must be the http:// or https:// URL of a proxy, without a path');
  return z.NEVER;
});

/** @throws when a file that the environment names is gone since it was checked. */
export function egressOptionsFrom({
  MILLRACE_EGRESS_CA_FILE: caFile,
  MILLRACE_EGRESS_PROXY: proxy,
}: EgressEnvironment): EgressDispatcherOptions {
  return {
    ...(caFile === undefined ? {} : { trustedCertificates: readCertificates(caFile) }),
    ...(proxy === undefined ? {} : { proxy }),
  };
}

function holdsCertificates(file: string): boolean {
  try {
    readCertificates(file);
    return true;
  } catch {
    return false;
  }
}

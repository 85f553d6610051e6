import { z } from 'zod';

import type { EgressDispatcherOptions } from './egress-dispatcher.ts';
import { readCertificates } from './trusted-certificates.ts';

/** What a service that connects to addresses of users reads from its environment. */
export interface EgressEnvironment {
  readonly MILLRACE_EGRESS_CA_FILE?: string | undefined;
}

/** A file of certificates in PEM, of authorities that are trusted beside the default store. */
export const certificateFileSchema = z
  .string()
  .refine(holdsCertificates, { message: 'must be a file of certificates in PEM' });

/** @throws when a file that the environment names is gone since it was checked. */
export function egressOptionsFrom({
  MILLRACE_EGRESS_CA_FILE: caFile,
}: EgressEnvironment): EgressDispatcherOptions {
  return caFile === undefined ? {} : { trustedCertificates: readCertificates(caFile) };
}

function holdsCertificates(file: string): boolean {
  try {
    readCertificates(file);
    return true;
  } catch {
    return false;
  }
}

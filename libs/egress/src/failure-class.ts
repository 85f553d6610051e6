import { BlockedAddressError } from './blocked-address-error.ts';

/**
 * Why no answer came, as a word that may be shown to a tenant: never the socket's own text, which
 * would make a port scanner of us. `proxy`: the egress proxy was not reached, or did not get there.
 * `local` is our own fault (no descriptors, no ports left).
 */
export type FailureClass =
  | 'dns'
  | 'refused'
  | 'unreachable'
  | 'reset'
  | 'tls'
  | 'timeout'
  | 'protocol'
  | 'proxy'
  | 'local'
  | 'aborted'
  | 'other';

const classByCode: Readonly<Record<string, FailureClass>> = {
  ENOTFOUND: 'dns',
  ENODATA: 'dns',
  ESERVFAIL: 'dns',
  EAI_AGAIN: 'dns',
  EAI_FAIL: 'dns',
  EAI_NODATA: 'dns',
  EAI_NONAME: 'dns',
  ECONNREFUSED: 'refused',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  EHOSTDOWN: 'unreachable',
  ENETDOWN: 'unreachable',
  ECONNRESET: 'reset',
  ECONNABORTED: 'reset',
  EPIPE: 'reset',
  UND_ERR_SOCKET: 'reset',
  ETIMEDOUT: 'timeout',
  UND_ERR_CONNECT_TIMEOUT: 'timeout',
  UND_ERR_HEADERS_TIMEOUT: 'timeout',
  UND_ERR_BODY_TIMEOUT: 'timeout',
  UND_ERR_HEADERS_OVERFLOW: 'protocol',
  EGRESS_PROXY: 'proxy',
  EPROTO: 'tls',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'tls',
  SELF_SIGNED_CERT_IN_CHAIN: 'tls',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'tls',
  UNABLE_TO_GET_ISSUER_CERT: 'tls',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'tls',
  HOSTNAME_MISMATCH: 'tls',
  EMFILE: 'local',
  ENFILE: 'local',
  ENOBUFS: 'local',
  ENOMEM: 'local',
  EADDRNOTAVAIL: 'local',
};

const classByPrefix: readonly (readonly [prefix: string, failure: FailureClass])[] = [
  ['ERR_TLS', 'tls'],
  ['ERR_SSL', 'tls'],
  ['CERT_', 'tls'],
  ['CRL_', 'tls'],
  ['HPE_', 'protocol'],
];

/** Classifies an error of undici, a socket or a resolver by its code. */
export function failureClassOf(error: unknown): FailureClass {
  for (const code of codesOf(error)) {
    const known = classByCode[code] ?? byPrefix(code);
    if (known !== undefined) return known;
  }
  return 'other';
}

/** @returns the refusal behind an error, when our own guard is what stopped the connection. */
export function blockedBehind(error: unknown): BlockedAddressError | null {
  return chainOf(error).find((link) => link instanceof BlockedAddressError) ?? null;
}

function codesOf(error: unknown): string[] {
  return chainOf(error).flatMap((link) =>
    'code' in link && typeof link.code === 'string' ? [link.code] : [],
  );
}

/**
 * An error, what caused it, and for several addresses what each attempt met. Goes by shape, since
 * an error from another realm is no `instanceof Error`.
 */
function chainOf(error: unknown, depth = 0): object[] {
  if (typeof error !== 'object' || error === null || depth > 4) return [];
  const attempts: unknown[] = 'errors' in error && Array.isArray(error.errors) ? error.errors : [];
  const cause = 'cause' in error ? error.cause : undefined;
  return [error, ...[...attempts, cause].flatMap((inner) => chainOf(inner, depth + 1))];
}

function byPrefix(code: string): FailureClass | undefined {
  return classByPrefix.find(([prefix]) => code.startsWith(prefix))?.[1];
}

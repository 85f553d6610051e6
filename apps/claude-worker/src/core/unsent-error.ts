/** Failures of looking up, or of the handshake that comes before a request. */
const beforeSendCodes: readonly string[] = [
  'ENOTFOUND',
  'EAI_AGAIN',
  'UND_ERR_CONNECT_TIMEOUT',
  'CERT_HAS_EXPIRED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'ERR_TLS_CERT_ALTNAME_INVALID',
];

/**
 * Says whether a connection's error came before a byte of the request was sent, so that nobody
 * can have been paid. The code alone does not say it: an established connection may report
 * EHOSTUNREACH or ETIMEDOUT too, with the request already at the server.
 */
export function isBeforeSend(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if ('syscall' in error && error.syscall === 'connect') return true;
  if ('code' in error && beforeSendCodes.includes(String(error.code))) return true;
  // Every address of the host was tried, each with an error of its own.
  return error instanceof AggregateError && error.errors.every(isBeforeSend);
}

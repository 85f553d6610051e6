/** The egress proxy was not reached, did not answer, or did not open a tunnel. */
export class ProxyError extends Error {
  override readonly name = 'ProxyError';
  /** Where errors are classified, it stands before whatever was the cause. */
  readonly code = 'EGRESS_PROXY';
}

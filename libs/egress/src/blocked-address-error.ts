/** The guard's refusal, thrown through undici to whoever asked for the connection. */
export class BlockedAddressError extends Error {
  override readonly name = 'BlockedAddressError';

  constructor(readonly reason: string) {
    super(`the address is not allowed (${reason})`);
  }
}

import { lookup, type LookupAddress } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import { promisify } from 'node:util';

import { asError } from './as-error.ts';
import { BlockedAddressError } from './blocked-address-error.ts';
import { blockedReason, isAllowListed, type EgressPolicy } from './blocked-reason.ts';
import { isLoopbackName } from './check-url.ts';

/** Every address of a name, in the order in which they are to be tried. */
export type Resolve = (hostname: string) => Promise<readonly LookupAddress[]>;

const lookupAll = promisify(lookup);

/** The operating system's own resolver: hosts file, search list and all. */
export const systemResolve: Resolve = (hostname) => lookupAll(hostname, { all: true });

/** A resolver that refuses a name, or a literal, if any of its addresses is blocked. */
export function checkedResolve(policy: EgressPolicy, resolve: Resolve): Resolve {
  return async (hostname) => {
    const family = isIP(hostname);
    const addresses =
      family === 0 ? await resolve(hostname) : [{ address: hostname, family }];
    if (addresses.length === 0) {
      throw Object.assign(new Error('the name has no address'), { code: 'ENODATA' });
    }
    for (const { address } of addresses) {
      const reason = blockedReason(address, policy);
      if (reason !== null) throw new BlockedAddressError(reason);
      // Plain http is allowed to these names, so that they must not lead anywhere else.
      if (isLoopbackName(hostname) && !isAllowListed(address, policy)) {
        throw new BlockedAddressError('not_loopback');
      }
    }
    return addresses;
  };
}

/**
 * A `lookup` for sockets that hands over the very addresses that were judged: there is no second
 * resolve for a rebinding to win.
 */
export function checkedLookup(resolve: Resolve): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname).then(
      (addresses) => {
        const [first] = addresses;
        if (options.all === true) callback(null, [...addresses]);
        else if (first !== undefined) callback(null, first.address, first.family);
      },
      (error: unknown) => callback(asError(error), ''),
    );
  };
}

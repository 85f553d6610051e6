/** What of this lib only computes: the `core/` of an app may import it. */
export { parseRetryAfter } from './retry-after.ts';
export {
  signatureHeaders,
  signingKeysOf,
  type SignedContent,
  type SigningKeys,
} from './signature.ts';
export { userHeaderError, withoutValues } from './user-headers.ts';

import { isIP } from 'node:net';

import { callbackUrlLengthMax } from '@millrace/contracts';

import { blockedReason, isAllowListed, type EgressPolicy } from './blocked-reason.ts';

export type UrlCheck =
  | { readonly ok: true; readonly url: URL }
  | { readonly ok: false; readonly code: 'unsafe_callback_url'; readonly detail: string };

/**
 * Judges a URL that a user gave, by its text alone. Names are judged once more when they are
 * resolved, by the client that connects.
 *
 * https everywhere; http only to an address that the policy names, since plain text is for a
 * network one owns. The WHATWG parser folds `127.1`, `0x7f000001` and the like into addresses, so
 * what is judged here is what is connected to.
 */
export function checkUrl(raw: string, policy: EgressPolicy): UrlCheck {
  if (raw.length > callbackUrlLengthMax) {
    return unsafe(`the URL is longer than ${callbackUrlLengthMax} characters`);
  }
  // The parser would drop tabs and newlines and turn a backslash into a slash: a URL that reads
  // differently from what is connected to is refused.
  if (hasHiddenCharacters(raw)) {
    return unsafe('the URL has a space, a control character or a backslash in it');
  }
  const url = URL.parse(raw);
  if (url === null) return unsafe('the URL cannot be read');
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    return unsafe('the URL must begin with https://');
  }
  if (hasUserInfo(raw)) return unsafe('the URL names a user');
  if (raw.includes('#')) return unsafe('the URL has a fragment');
  return checkHost(url, policy);
}

/** The host of a URL as a resolver or `net.isIP` takes it: no brackets, no final dot. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, '$1').replace(/\.$/, '');
}

function checkHost(url: URL, policy: EgressPolicy): UrlCheck {
  const host = hostOf(url);
  if (host === '') return unsafe('the URL has no host');
  // `localhost..` is no loopback name by its text: a resolver may read it as one.
  if (host.split('.').includes('')) return unsafe('the name of the host has an empty part');
  const isLiteral = isIP(host) !== 0;
  if (isLiteral) {
    const reason = blockedReason(host, policy);
    if (reason !== null) return unsafe(`the address is not allowed (${reason})`);
  }
  const loopbackName = isLoopbackName(host);
  if (loopbackName && !allowsLoopback(policy)) {
    return unsafe('the address is not allowed (loopback)');
  }
  const plainTextAllowed = isLiteral ? isAllowListed(host, policy) : loopbackName;
  if (url.protocol === 'http:' && !plainTextAllowed) return unsafe('the URL must be https');
  return { ok: true, url };
}

/** RFC 6761: these names never leave the machine. */
export function isLoopbackName(host: string): boolean {
  return host === 'localhost' || host.endsWith('.localhost');
}

function allowsLoopback(policy: EgressPolicy): boolean {
  return ['127.0.0.1', '::1'].some((ip) => isAllowListed(ip, policy));
}

/** By the text: the parser drops an empty one, as in `https://@example.com/`. */
function hasUserInfo(raw: string): boolean {
  return /^[^:]*:\/*[^/?#]*@/.test(raw);
}

function hasHiddenCharacters(raw: string): boolean {
  return [...raw].some((character) => {
    const code = character.codePointAt(0) ?? 0;
    return code <= 0x20 || code === 0x7f || character === '\\';
  });
}

function unsafe(detail: string): UrlCheck {
  return { ok: false, code: 'unsafe_callback_url', detail };
}

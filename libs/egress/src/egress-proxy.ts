import { hostOf } from './check-url.ts';

/** A proxy through which every connection goes, by CONNECT. */
export interface EgressProxy {
  readonly host: string;
  readonly port: number;
  /** Whether the way to the proxy itself is encrypted. */
  readonly tls: boolean;
  /** What it is shown: `Basic …`. */
  readonly authorization: string | null;
}

const portByProtocol: Readonly<Record<string, number>> = { 'http:': 80, 'https:': 443 };

/**
 * Reads `http://proxy:3128` or `https://user:password@proxy:8443`; name and password are
 * percent-encoded where a URL asks for it.
 * @returns null for what names no proxy
 */
export function egressProxyOf(text: string): EgressProxy | null {
  const url = URL.parse(text);
  const standardPort = portByProtocol[url?.protocol ?? ''];
  if (url === null || standardPort === undefined) return null;
  if (url.pathname !== '/' || url.search !== '' || text.includes('#')) return null;
  const authorization = authorizationOf(url);
  if (authorization === 'unreadable') return null;
  return {
    host: hostOf(url),
    port: url.port === '' ? standardPort : Number(url.port),
    tls: url.protocol === 'https:',
    authorization,
  };
}

function authorizationOf({ username, password }: URL): string | null {
  if (username === '' && password === '') return null;
  const [name, secret] = [decoded(username), decoded(password)];
  // RFC 7617: the first colon ends the name.
  if (name === null || secret === null || name.includes(':')) return 'unreadable';
  return `Basic ${Buffer.from(`${name}:${secret}`).toString('base64')}`;
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

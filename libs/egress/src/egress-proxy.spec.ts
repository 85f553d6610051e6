import { describe, expect, it } from '@jest/globals';

import { egressProxySchema } from './egress-environment.ts';
import { egressProxyOf } from './egress-proxy.ts';

describe('the URL of an egress proxy', () => {
  it.each([
    ['http://proxy.internal:3128', { host: 'proxy.internal', port: 3128, tls: false }],
    ['http://proxy.internal/', { host: 'proxy.internal', port: 80, tls: false }],
    ['https://proxy.internal', { host: 'proxy.internal', port: 443, tls: true }],
    ['https://10.0.0.7:8443', { host: '10.0.0.7', port: 8443, tls: true }],
    ['http://[fd00::7]:3128', { host: 'fd00::7', port: 3128, tls: false }],
  ])('%s says where it is', (text, expected) => {
    expect(egressProxyOf(text)).toEqual({ ...expected, authorization: null });
  });

  it.each([
    ['http://anna:secret@proxy', 'anna:secret'],
    ['http://anna:p%40ss%3A%2F%C3%A4@proxy', 'anna:p@ss:/ä'],
    ['http://anna@proxy', 'anna:'],
  ])('%s says what it wants to see', (text, credentials) => {
    const authorization = `Basic ${Buffer.from(credentials).toString('base64')}`;
    expect(egressProxyOf(text)).toMatchObject({ authorization });
  });

  it.each([
    '',
    'proxy:3128',
    '127.0.0.1:3128',
    'socks5://proxy:1080',
    'http://',
    'http://proxy/path',
    'http://proxy/?query',
    'http://proxy/#',
    'http://proxy:99999',
    'http://an%3Ana:secret@proxy',
    'http://anna:%E0%A4%A@proxy',
  ])('is refused as %j, and not told to whoever reads the log', (text) => {
    expect(egressProxyOf(text)).toBeNull();
    const parsed = egressProxySchema.safeParse(text);
    expect(parsed.error?.issues).toEqual([
      expect.objectContaining({
        message: 'must be the http:// or https:// URL of a proxy, without a path',
      }),
    ]);
  });
});

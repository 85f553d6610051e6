import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { assertCidr, blockedReason, type EgressPolicy } from './blocked-reason.ts';
import { checkUrl } from './check-url.ts';

const strict: EgressPolicy = { allowedCidrs: [] };
const local: EgressPolicy = { allowedCidrs: ['127.0.0.0/8', '::1/128'] };
const office: EgressPolicy = { allowedCidrs: ['10.1.0.0/16', 'fd00:1::/32'] };

const allowedUrls: readonly (readonly [string, EgressPolicy])[] = [
  ['https://example.com', strict],
  ['https://example.com/hooks?x=1&y=%2F', strict],
  ['https://example.com:8443/hooks', strict],
  ['https://example.com/@me?to=a@b.example', strict],
  ['https://EXAMPLE.com./hooks', strict],
  ['https://bücher.example/hooks', strict],
  ['https://8.8.8.8/hooks', strict],
  ['https://[2606:4700::1111]/hooks', strict],
  ['https://[64:ff9b::8.8.8.8]/hooks', strict],
  ['https://172.32.0.1/', strict],
  ['https://100.128.0.1/', strict],
  ['https://localhosts/', strict],
  ['https://notlocalhost.example/', strict],
  ['http://127.0.0.1:8091/hook', local],
  ['http://localhost:8091/hook', local],
  ['http://receiver.localhost:8091/hook', local],
  ['http://[::1]:8091/hook', local],
  ['http://127.1:8091/', local],
  ['http://[::ffff:127.0.0.1]:8091/', local],
  ['https://localhost/', local],
  ['https://10.1.2.3/', office],
  ['http://10.1.2.3/', office],
  ['http://[fd00:1::7]/', office],
];

const refusedUrls: readonly (readonly [string, EgressPolicy])[] = [
  ['', strict],
  ['example.com/hooks', strict],
  ['//example.com/hooks', strict],
  ['/hooks', strict],
  ['https://', strict],
  ['ftp://example.com/', strict],
  ['file:///etc/passwd', strict],
  ['data:text/plain,x', strict],
  ['javascript:alert(1)', strict],
  ['gopher://example.com/', strict],
  ['http://example.com/', strict],
  ['http://8.8.8.8/', strict],
  ['http://example.com/', local],
  ['http://8.8.8.8/', local],
  ['https://user@example.com/', strict],
  ['https://user:secret@example.com/', strict],
  ['https://:secret@example.com/', strict],
  ['https://example.com@127.0.0.1/', strict],
  ['https://example.com/#part', strict],
  ['https://example.com/#', strict],
  [' https://example.com/', strict],
  ['https://example.com/\n', strict],
  ['https://exa\tmple.com/', strict],
  ['https:\\\\example.com\\', strict],
  ['https://example.com/a b', strict],
  ['https://example.com:99999/', strict],
  [`https://example.com/${'x'.repeat(2048)}`, strict],
  ['https://127.0.0.1/', strict],
  ['https://127.0.0.1./', strict],
  ['https://127.1/', strict],
  ['https://127.0.1/', strict],
  ['https://0x7f000001/', strict],
  ['https://0x7f.1/', strict],
  ['https://2130706433/', strict],
  ['https://0177.0.0.1/', strict],
  ['https://017700000001/', strict],
  ['https://127.255.255.254/', strict],
  ['https://%31%32%37.0.0.1/', strict],
  ['https://１２７.0.0.1/', strict],
  ['https://127。0。0。1/', strict],
  ['https://localhost/', strict],
  ['https://LOCALHOST/', strict],
  ['https://localhost./', strict],
  ['https://a.localhost/', strict],
  ['https://0/', strict],
  ['https://0.0.0.0/', strict],
  ['https://10.0.0.1/', strict],
  ['https://10.2.0.1/', office],
  ['https://100.64.0.1/', strict],
  ['https://169.254.169.254/latest/meta-data', strict],
  ['https://2852039166/', strict],
  ['https://172.16.0.1/', strict],
  ['https://172.31.255.255/', strict],
  ['https://192.0.0.8/', strict],
  ['https://192.0.2.1/', strict],
  ['https://192.88.99.1/', strict],
  ['https://192.168.1.1/', strict],
  ['https://198.18.0.1/', strict],
  ['https://198.19.255.255/', strict],
  ['https://198.51.100.1/', strict],
  ['https://203.0.113.1/', strict],
  ['https://224.0.0.1/', strict],
  ['https://240.0.0.1/', strict],
  ['https://255.255.255.255/', strict],
  ['https://[::]/', strict],
  ['https://[::1]/', strict],
  ['https://[::127.0.0.1]/', strict],
  ['https://[::ffff:127.0.0.1]/', strict],
  ['https://[::ffff:7f00:1]/', strict],
  ['https://[::ffff:0:127.0.0.1]/', strict],
  ['https://[::ffff:a9fe:a9fe]/', strict],
  ['https://[64:ff9b::127.0.0.1]/', strict],
  ['https://[64:ff9b::a9fe:a9fe]/', strict],
  ['https://[64:ff9b:1::1]/', strict],
  ['https://[fe80::1]/', strict],
  ['https://[fec0::1]/', strict],
  ['https://[fc00::1]/', strict],
  ['https://[fd00:2::7]/', office],
  ['https://[ff02::1]/', strict],
  ['https://[2001::1]/', strict],
  ['https://[2001:db8::1]/', strict],
  ['https://[2002:7f00:1::]/', strict],
  ['https://[3fff::1]/', strict],
  ['https://[100::1]/', strict],
  ['https://[4000::1]/', strict],
  ['https://0X7F000001/', strict],
  ['https://0x7F.0X0.0x0.0X1/', strict],
  ['https://0x7f.0.1/', strict],
  ['https://0xA9FEA9FE/', strict],
  ['https://0xa9.0xFE.43518/', strict],
  ['https://0x0000000007f000001/', strict],
  ['https://0177.0.0.01/', strict],
  ['https://00177.00.00.01/', strict],
  ['https://0000177.0.0.1/', strict],
  ['https://0251.0376.0251.0376/', strict],
  ['https://025177524776/', strict],
  ['https://012.0.0.1/', strict],
  ['https://0300.0250.1.1/', strict],
  ['https://127.0.0.1../', strict],
  ['https://10.0.0.1./', strict],
  ['https://169.254.169.254./', strict],
  ['https://0x7f000001./', strict],
  ['https://2130706433./', strict],
  ['https://a.b.localhost./', strict],
  ['https://localhost../', strict],
  ['https://[fe80::1%25eth0]/', strict],
  ['https://[fe80::1%eth0]/', strict],
  ['https://[::1%25lo]/', strict],
  ['https://[2606:4700::1111%25eth0]/', strict],
  ['https://[::8.8.8.8]/', strict],
  ['https://[::808:808]/', strict],
  ['https://[::a9fe:a9fe]/', strict],
  ['https://[::10.0.0.1]/', strict],
  ['https://[0:0:0:0:0:0:0:1]/', strict],
  ['https://[0000:0000:0000:0000:0000:0000:0000:0001]/', strict],
  ['https://[::FFFF:7F00:1]/', strict],
  ['https://[0:0:0:0:0:ffff:10.0.0.1]/', strict],
  ['https://[::ffff:0.0.0.0]/', strict],
  ['https://[::ffff:192.168.0.1]/', strict],
  ['https://[64:FF9B::7F00:1]/', strict],
  ['https://[64:ff9b::10.0.0.1]/', strict],
  ['https://[64:ff9b::0.0.0.0]/', strict],
  ['https://[64:ff9b:1::8.8.8.8]/', strict],
  ['https://[2002::1]/', strict],
  ['https://[2002:808:808::1]/', strict],
  ['https://[2002:a9fe:a9fe::1]/', strict],
  ['https://[2002:c0a8:101::1]/', strict],
  ['https://[2001:0:7f00:1::1]/', strict],
  ['https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/', strict],
  ['https://[2001:DB8::7]/', strict],
  ['https://[::ffff:8.8.8.8%25eth0]/', strict],
  ['https://[fc00:1234::1]/', strict],
  ['https://[FE80::1]/', strict],
  ['https://[febf::1]/', strict],
  ['https://[ff05::2]/', strict],
  ['https://[5f00::1]/', strict],
  ['https://%6c%6f%63%61lhost/', strict],
  ['https://%6C%6F%63%61%6C%68%6F%73%74/', strict],
  ['https://127%2e0%2e0%2e1/', strict],
  ['https://%30%78%37%66.1/', strict],
  ['https://%5b::1%5d/', strict],
  ['https://exa%00mple.com/', strict],
  ['https://exa%2fmple.com/', strict],
  ['https://exa%40mple.com/', strict],
  ['https://１６９.２５４.１６９.２５４/', strict],
  ['https://①②⑦.0.0.1/', strict],
  ['https://０x7f000001/', strict],
  ['https://127．0．0．1/', strict],
  ['https://127｡0｡0｡1/', strict],
  ['https://ｌｏｃａｌｈｏｓｔ/', strict],
  ['https://ⓛocalhost/', strict],
  ['https://loc­alhost/', strict],
  ['https://127.0.0.1​/', strict],
  ['https://@example.com/', strict],
  ['https://user@127.0.0.1/', strict],
  ['https://example.com:443@127.0.0.1/', strict],
  ['https://127.0.0.1:80@example.com/', strict],
  ['https://example.com%40x@10.0.0.1/', strict],
  ['https://%40@example.com/', strict],
  ['https://127.0.0.1:443/', strict],
  ['https://127.0.0.1?@example.com/', strict],
  ['https://127.0.0.1/@example.com/', strict],
  ['https://127.0.0.1:0/', strict],
  ['https://256.0.0.1/', strict],
  ['https://1.2.3.4.5/', strict],
  ['https://127.0.0.0x/', strict],
  ['https://0x100000000/', strict],
  ['https://4294967296/', strict],
  ['https://a..127.0.0.1/', strict],
  ['https:127.0.0.1/', strict],
  ['https:/127.0.0.1/', strict],
  ['https:////127.0.0.1/', strict],
  ['HTTPS://LocalHost:443/', strict],
  ['https://example.com@/', strict],
  ['http://[::127.0.0.1]/', local],
];

describe('checkUrl', () => {
  it.each(allowedUrls)('lets %s through', (url, policy) => {
    expect(checkUrl(url, policy)).toMatchObject({ ok: true });
  });

  it.each(refusedUrls)('refuses %j', (url, policy) => {
    expect(checkUrl(url, policy)).toMatchObject({ ok: false, code: 'unsafe_callback_url' });
  });

  it('never throws, and lets nothing through that is not http or https', () => {
    const texts = fc.oneof(fc.string({ unit: 'binary' }), fc.webUrl({ withFragments: true }));
    fc.assert(
      fc.property(texts, (text) => {
        const check = checkUrl(text, local);
        if (check.ok) expect(['https:', 'http:']).toContain(check.url.protocol);
      }),
    );
  });

  it('judges every spelling of an address as it judges the address', () => {
    fc.assert(
      fc.property(fc.nat(0xffff_ffff), (number) => {
        const octets = [24, 16, 8, 0].map((shift) => (number >>> shift) & 0xff);
        const hex = octets.map((octet) => octet.toString(16).padStart(2, '0')).join('');
        const expected = blockedReason(octets.join('.'), strict) === null;
        const spellings = [
          octets.join('.'),
          `0x${hex}`,
          String(number),
          octets.map((octet) => `0${octet.toString(8)}`).join('.'),
          `[::ffff:${octets.join('.')}]`,
          `[64:ff9b::${octets.join('.')}]`,
        ];
        for (const host of spellings) {
          expect([host, checkUrl(`https://${host}/`, strict).ok]).toEqual([host, expected]);
        }
        expect(checkUrl(`https://[::${octets.join('.')}]/`, strict).ok).toBe(false);
      }),
    );
  });
});

describe('blockedReason', () => {
  it.each([
    ['8.8.8.8', null],
    ['2606:4700::1111', null],
    ['127.0.0.1', 'loopback'],
    ['169.254.169.254', 'link_local'],
    ['::ffff:10.0.0.1', 'private'],
    ['64:ff9b::c0a8:1', 'private'],
    ['fe80::1%eth0', 'not_public'],
    ['127.1', 'not_an_address'],
    ['example.com', 'not_an_address'],
    ['', 'not_an_address'],
  ])('says of %s: %s', (ip, reason) => {
    expect(blockedReason(ip, strict)).toBe(reason);
  });

  it('is lifted for an allowed range only', () => {
    expect(blockedReason('10.1.255.1', office)).toBeNull();
    expect(blockedReason('::ffff:10.1.255.1', office)).toBeNull();
    expect(blockedReason('10.2.0.1', office)).toBe('private');
    expect(blockedReason('::1', office)).toBe('not_public');
  });
});

describe('an allow-list entry', () => {
  it.each(['127.0.0.0/8', '::1/128', '10.0.0.1/32'])('may be %s', (cidr) => {
    expect(assertCidr(cidr)).toBe(cidr);
  });

  it.each(['127/8', '127.0.0.1', 'localhost/8', '10.0.0.0/33', ''])('may not be %j', (cidr) => {
    expect(() => assertCidr(cidr)).toThrow();
  });
});

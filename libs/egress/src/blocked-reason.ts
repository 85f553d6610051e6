import { isIP } from 'node:net';

import ipaddr from 'ipaddr.js';

/**
 * What may be reached beside the public internet. Empty by default; the local stack allows
 * loopback. The entries are CIDRs such as `127.0.0.0/8` and `::1/128`.
 */
export interface EgressPolicy {
  readonly allowedCidrs: readonly string[];
}

type Address = ipaddr.IPv4 | ipaddr.IPv6;
type Range = readonly [Address, number];

const blockedV4: readonly (readonly [cidr: string, reason: string])[] = [
  ['0.0.0.0/8', 'this_network'],
  ['10.0.0.0/8', 'private'],
  ['100.64.0.0/10', 'carrier_grade_nat'],
  ['127.0.0.0/8', 'loopback'],
  ['169.254.0.0/16', 'link_local'],
  ['172.16.0.0/12', 'private'],
  ['192.0.0.0/24', 'reserved'],
  ['192.0.2.0/24', 'documentation'],
  ['192.88.99.0/24', 'reserved'],
  ['192.168.0.0/16', 'private'],
  ['198.18.0.0/15', 'benchmarking'],
  ['198.51.100.0/24', 'documentation'],
  ['203.0.113.0/24', 'documentation'],
  ['224.0.0.0/4', 'multicast'],
  ['240.0.0.0/4', 'reserved'],
];

/** Inside 2000::/3, the only part of IPv6 that is the public internet. */
const blockedV6: readonly (readonly [cidr: string, reason: string])[] = [
  ['2001::/32', 'teredo'],
  ['2001:db8::/32', 'documentation'],
  ['2002::/16', '6to4'],
  ['3fff::/20', 'documentation'],
];

const tableV4 = blockedV4.map(([cidr, reason]) => ({ range: parseRange(cidr), reason }));
const tableV6 = blockedV6.map(([cidr, reason]) => ({ range: parseRange(cidr), reason }));
const publicV6 = parseRange('2000::/3');

/**
 * IPv6 forms that carry an IPv4 address in their last 32 bits: they are judged by that. The form
 * without a prefix (`::8.8.8.8`) is long dead and no public address, whatever it carries.
 */
const carriersOfV4 = ['::ffff:0:0/96', '64:ff9b::/96'].map(parseRange);

/**
 * Says why an address may not be connected to.
 * @returns null when it may be, else a word for the class of address.
 */
export function blockedReason(ip: string, policy: EgressPolicy): string | null {
  // ipaddr.js alone reads `127.1` and octal forms too; a resolver never writes those.
  if (isIP(ip) === 0) return 'not_an_address';
  const given = ipaddr.parse(ip);
  const folded = foldToV4(given);
  if (isAllowed(given, policy) || isAllowed(folded, policy)) return null;
  if (folded.kind() === 'ipv4') return reasonIn(tableV4, folded);
  if (!inRange(folded, publicV6)) return 'not_public';
  return reasonIn(tableV6, folded);
}

/** Whether the policy names this address, as against its being simply public. */
export function isAllowListed(ip: string, policy: EgressPolicy): boolean {
  if (isIP(ip) === 0) return false;
  const given = ipaddr.parse(ip);
  return isAllowed(given, policy) || isAllowed(foldToV4(given), policy);
}

/**
 * Reads one entry of an allow-list.
 * @throws when it is not a CIDR: a service refuses to start with it.
 */
export function assertCidr(cidr: string): string {
  parseRange(cidr);
  return cidr;
}

function isAllowed(address: Address, { allowedCidrs }: EgressPolicy): boolean {
  return rangesOf(allowedCidrs).some((range) => inRange(address, range));
}

/** A policy lives as long as its service: its list is parsed once, not for every URL. */
const parsedRanges = new WeakMap<readonly string[], readonly Range[]>();

function rangesOf(cidrs: readonly string[]): readonly Range[] {
  const known = parsedRanges.get(cidrs);
  if (known !== undefined) return known;
  const ranges = cidrs.map(parseRange);
  parsedRanges.set(cidrs, ranges);
  return ranges;
}

function reasonIn(table: readonly { range: Range; reason: string }[], ip: Address): string | null {
  return table.find(({ range }) => inRange(ip, range))?.reason ?? null;
}

function foldToV4(address: Address): Address {
  if (!carriersOfV4.some((range) => inRange(address, range))) return address;
  return new ipaddr.IPv4(address.toByteArray().slice(-4));
}

function inRange(address: Address, [network, bits]: Range): boolean {
  return address.kind() === network.kind() && address.match([network, bits]);
}

function parseRange(cidr: string): Range {
  // `127/8` would be read as 0.0.0.127: an allow-list must mean what it seems to say.
  if (isIP(cidr.split('/')[0] ?? '') === 0) throw new TypeError(`${cidr} is not a CIDR`);
  return ipaddr.parseCIDR(cidr);
}

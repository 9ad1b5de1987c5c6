/** IP addresses as numbers: as limits count them, one for each unit that one owner holds, and as networks. */

import { isIP } from 'node:net';

/** Prefix of the number of an IPv4 address. No IPv6 /64 begins with it: RFC 4291 section 2.5.5 reserves the block. */
const IPV4 = 1n << 32n;
const GROUPS = 8;
/** First groups of fe80::/64, whose hosts are neighbours, and of the well-known NAT64 prefix (RFC 6052). */
const LINK_LOCAL = 0xfe80;
const NAT64 = [0x64, 0xff9b, 0, 0, 0, 0];

/** Removes the IPv6 wrapping of an IPv4 address on a dual-stack socket; '' for an unknown address. */
export function plainAddress(address: string | undefined): string {
  if (address === undefined) return '';
  return /^::ffff:\d+\./i.test(address) ? address.slice(7) : address;
}

/** True for 127.0.0.0/8 and ::1, also for IPv4 inside IPv6. */
export function isLoopback(address: string): boolean {
  const plain = plainAddress(address);
  return plain === '::1' || /^127(\.\d{1,3}){3}$/.test(plain);
}

/** True when `host`, `host:port` or `[host]:port` names this machine alone: `localhost` or a loopback address. */
export function isLoopbackHost(host: string): boolean {
  const name = /^\[([^\]]*)\](?::\d{1,5})?$/.exec(host)?.[1] ?? /^([^:]*):\d{1,5}$/.exec(host)?.[1] ?? host;
  return name.toLowerCase() === 'localhost' || isLoopback(name);
}

/**
 * The number by which limits count an address, never 0. An IPv4 address counts by itself, also inside IPv6 or behind NAT64. All addresses
 * of an IPv6 /64 share one number, because one owner holds the whole /64. Each link-local address counts by itself.
 * @returns null when the text is no IP address
 */
export function addressKey(address: string): bigint | null {
  const plain = plainAddress(address);
  if (!plain.includes(':')) {
    const value = ipv4(plain);
    return value === null ? null : IPV4 | BigInt(value);
  }
  const groups = groupsOf(plain);
  if (groups === null) return null;
  if (NAT64.every((group, at) => groups[at] === group)) return IPV4 | joined(groups.slice(6));
  return joined(groups[0] === LINK_LOCAL ? groups.slice(4) : groups.slice(0, 4)) || null;
}

function joined(groups: readonly number[]): bigint {
  return groups.reduce((value, group) => (value << 16n) | BigInt(group), 0n);
}

function ipv4(text: string): number | null {
  const parts = text.split('.');
  if (parts.length !== 4) return null;
  let value = 0;
  for (const part of parts) {
    const octet = Number(part);
    if (part === '' || !(octet >= 0 && octet <= 255)) return null;
    value = value * 256 + octet;
  }
  return value;
}

/** The eight groups of an IPv6 address; null when the text is none. */
function groupsOf(address: string): number[] | null {
  const [text = ''] = address.split('%');
  const [head = '', tail, more] = text.split('::');
  if (more !== undefined) return null;
  const left = partsOf(head);
  const right = tail === undefined ? [] : partsOf(tail);
  if (left === null || right === null) return null;
  const missing = GROUPS - left.length - right.length;
  if (tail === undefined ? missing !== 0 : missing < 0) return null;
  return [...left, ...new Array<number>(missing).fill(0), ...right];
}

function partsOf(text: string): number[] | null {
  if (text === '') return [];
  const groups: number[] = [];
  for (const part of text.split(':')) {
    if (part.includes('.')) {
      const value = ipv4(part);
      if (value === null) return null;
      groups.push(Math.floor(value / 65_536), value % 65_536);
    } else if (/^[0-9a-f]{1,4}$/i.test(part)) groups.push(Number.parseInt(part, 16));
    else return null;
  }
  return groups;
}

/** A network of addresses, as 128 bits: IPv4 stands inside ::ffff:0:0/96, so that both forms of one address are the same. */
export interface Network {
  /** the bits behind the prefix are 0 */
  bits: bigint;
  /** 0..128 */
  prefix: number;
}

const BITS = 128;
const MAPPED = 0xffffn << 32n;
const MAPPED_BITS = 96;

/** The 128 bits of an address, without its zone; null when the text is no IP address. */
export function addressBits(address: string): bigint | null {
  if (!address.includes(':')) {
    const value = ipv4(address);
    return value === null ? null : MAPPED | BigInt(value);
  }
  const groups = groupsOf(address);
  return groups === null ? null : joined(groups);
}

/** Clears the bits behind a prefix. */
export function maskedBits(bits: bigint, prefix: number): bigint {
  const rest = BigInt(BITS - prefix);
  return (bits >> rest) << rest;
}

/** Reads an address or a network (`10.0.0.0/8`); null when the text is neither. A single address has the prefix 128. */
export function readNetwork(text: string): Network | null {
  const match = /^([^/%]+)(?:\/(\d{1,3}))?$/.exec(text);
  if (match === null) return null;
  const [, address = '', given] = match;
  const bits = isIP(address) === 0 ? null : addressBits(address);
  if (bits === null) return null;
  const width = address.includes(':') ? BITS : BITS - MAPPED_BITS;
  const length = given === undefined ? width : Number(given);
  if (length > width) return null;
  const prefix = length + BITS - width;
  return { bits: maskedBits(bits, prefix), prefix };
}

/** The one text of a network: IPv4 with dots, IPv6 as RFC 5952 writes it, a prefix where it is no single address. */
export function networkText({ bits, prefix }: Network): string {
  if (prefix >= MAPPED_BITS && bits >> 32n === 0xffffn) {
    const octets = [24n, 16n, 8n, 0n].map((shift) => (bits >> shift) & 0xffn).join('.');
    return prefix === BITS ? octets : `${octets}/${prefix - MAPPED_BITS}`;
  }
  const groups = Array.from({ length: GROUPS }, (_, at) => ((bits >> BigInt((GROUPS - 1 - at) * 16)) & 0xffffn).toString(16));
  return prefix === BITS ? shortened(groups) : `${shortened(groups)}/${prefix}`;
}

/** Writes the longest run of zero groups as `::` (RFC 5952). */
function shortened(groups: readonly string[]): string {
  let best = { at: 0, length: 0 };
  for (let at = 0; at < GROUPS; at++) {
    let length = 0;
    while (groups[at + length] === '0') length++;
    if (length > best.length) best = { at, length };
  }
  if (best.length < 2) return groups.join(':');
  return `${groups.slice(0, best.at).join(':')}::${groups.slice(best.at + best.length).join(':')}`;
}

/** The part of an IP address that counts as one unit, and the addresses of the machine itself. */

import { expect, test } from 'vitest';
import { addressKey, isLoopback, isLoopbackHost, plainAddress } from '../../../src/kernel/address.ts';

test.each([
  ['10.0.0.1', '::ffff:10.0.0.1'],
  ['10.0.0.1', '::FFFF:10.0.0.1'],
  ['10.0.0.1', '64:ff9b::10.0.0.1'],
  ['10.0.0.1', '64:ff9b::a00:1'],
  ['2001:db8:1:2::1', '2001:db8:1:2:ffff:ffff:ffff:ffff'],
  ['2001:db8:0:0::1', '2001:db8::2'],
  ['fe80::1%eth0', 'fe80::1%eth1'],
])('%s and %s are one', (one, other) => {
  expect(addressKey(one)).not.toBeNull();
  expect(addressKey(one)).toBe(addressKey(other));
});

test.each([
  ['10.0.0.1', '10.0.0.2'],
  ['2001:db8:1:2::1', '2001:db8:1:3::1'],
  ['fe80::1', 'fe80::2'],
  ['64:ff9b::10.0.0.1', '64:ff9b::10.0.0.2'],
  ['0.0.0.1', '::1'],
])('%s and %s are two', (one, other) => {
  expect(addressKey(one)).not.toBe(addressKey(other));
});

test.each(['', 'x', '1.2.3', '1.2.3.256', '1.2.3.', ':::1', '1:2:3:4:5:6:7:8:9', '1::2::3', '12345::1'])('%j is no address', (text) => {
  expect(addressKey(text)).toBeNull();
});

test.each([
  ['127.0.0.1', true],
  ['127.8.9.10', true],
  ['::1', true],
  ['::ffff:127.0.0.1', true],
  ['10.0.0.127', false],
  ['1270.0.0.1', false],
  ['::2', false],
  ['', false],
])('%s is loopback: %s', (address, isOwn) => {
  expect(isLoopback(address)).toBe(isOwn);
});

test.each([
  ['localhost', true],
  ['LocalHost:18083', true],
  ['127.0.0.1:4222', true],
  ['::1', true],
  ['[::1]', true],
  ['[::1]:4222', true],
  ['::ffff:127.0.0.1', true],
  ['127.evil.example', false],
  ['127.0.0.1.evil.example:80', false],
  ['localhost.evil.example', false],
  ['localhost:1:2', false],
  ['[::2]:4222', false],
  ['10.0.0.1:127', false],
  ['0.0.0.0', false],
  ['', false],
])('the host %s is this machine alone: %s', (host, isOwn) => {
  expect(isLoopbackHost(host)).toBe(isOwn);
});

test('an address inside IPv6 is written without its wrapping', () => {
  expect(plainAddress('::ffff:1.2.3.4')).toBe('1.2.3.4');
  expect(plainAddress('::ffff:0:1')).toBe('::ffff:0:1');
  expect(plainAddress(undefined)).toBe('');
});

/** Bans: patterns, networks, what is read of requests, and look-ups. */

import { expect, test } from 'vitest';
import { type Ban, banIdOf, banKey, fromBanBody, readBan, toBanBody } from '../../../src/endpoint/bans/ban.ts';
import { BanIndex } from '../../../src/endpoint/bans/ban-index.ts';
import { compileGlob } from '../../../src/endpoint/bans/glob.ts';
import { Problems } from '../../../src/endpoint/problems.ts';
import { networkText, readNetwork } from '../../../src/kernel/address.ts';

test('patterns: * is any text, ? one character, everything else itself, in bounded time', () => {
  const cases: [pattern: string, yes: string[], no: string[]][] = [
    ['abc', ['abc'], ['ab', 'abcd', '']],
    ['a?c', ['abc', 'a?c'], ['ac', 'abbc']],
    ['*', ['', 'x', 'a\nb'], []],
    ['dev-*', ['dev-', 'dev-1'], ['dev', 'xdev-1']],
    ['*-dev', ['-dev', 'a-dev'], ['a-devx']],
    ['a*b*c', ['abc', 'axxbyyc', 'abbcc'], ['acb', 'ab', 'abcx']],
    ['aa*aa', ['aaaa', 'aaxaa'], ['aaa']],
    ['*?x?*', ['axa', '..axb'], ['x', 'ax']],
    ['.+(a|b)[c]$', ['.+(a|b)[c]$'], ['xa[c]']],
    ['**', ['', 'abc'], []],
  ];
  for (const [pattern, yes, no] of cases) {
    const matches = compileGlob(pattern);
    for (const name of yes) expect([pattern, name, matches(name)]).toEqual([pattern, name, true]);
    for (const name of no) expect([pattern, name, matches(name)]).toEqual([pattern, name, false]);
  }
  const hard = compileGlob(`${'a?*'.repeat(40)}b`);
  const started = performance.now();
  for (let index = 0; index < 100; index++) expect(hard('a'.repeat(60_000))).toBe(false);
  expect(performance.now() - started).toBeLessThan(2_000);
});

test('networks have one text', () => {
  const same: [given: string, text: string | null][] = [
    ['10.1.2.3', '10.1.2.3'],
    ['10.1.2.3/8', '10.0.0.0/8'],
    ['::ffff:10.1.2.3', '10.1.2.3'],
    ['::FFFF:0a01:0203', '10.1.2.3'],
    ['::ffff:10.0.0.0/104', '10.0.0.0/8'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['2001:db8:0:0:1:0:0:0/48', '2001:db8::/48'],
    ['::/0', '::/0'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['::1', '::1'],
    ['1:0:0:2::', '1:0:0:2::'],
  ];
  for (const [given, text] of same) {
    const network = readNetwork(given);
    expect([given, network === null ? null : networkText(network)]).toEqual([given, text]);
  }
  const bad = [
    '',
    '10.0.0',
    '10.0.0.256',
    '010.0.0.1',
    '10.0.0.0/33',
    '::/129',
    '10.0.0.0/',
    '1::2::3',
    'fe80::1%eth0',
    '0x10.0.0.1',
    'a/8',
  ];
  for (const given of bad) expect([given, readNetwork(given)]).toEqual([given, null]);
});

test('a request is read whole, with all its problems', () => {
  const now = Date.UTC(2026, 0, 1);
  const read = (input: unknown): Ban | string[] => {
    const problems = new Problems();
    return readBan(input, '', problems, 'admin', now) ?? problems.issues.map(({ path }) => path);
  };
  const ban = read({ clientId: 'a', until: '2026-01-02T00:00:00Z', reason: 'stolen' });
  expect(ban).toEqual({ by: 'clientId', namespace: null, value: 'a', until: now + 86_400_000, reason: 'stolen', author: 'admin', at: now });
  expect(fromBanBody(banKey(ban as Ban), toBanBody(ban as Ban))).toEqual(ban);
  expect(read({ address: '::ffff:10.0.0.1', until: null })).toMatchObject({ by: 'address', value: '10.0.0.1', until: null });
  expect(read({ usernamePattern: 'a*', namespace: 'x', until: now + 1 })).toMatchObject({ namespace: 'x', until: now + 1 });
  expect(read({ clientId: 'a', username: 'b', until: '2025-01-01', reason: 7, x: 1 })).toEqual(['x', 'clientId', 'reason', 'until']);
  expect(read({})).toEqual(['clientId']);
  expect(read({ address: '10.0.0.1/64', namespace: 'x' })).toEqual(['namespace', 'address']);
  expect(read({ clientId: '' })).toEqual(['clientId']);
  expect(read({ clientIdPattern: 'a'.repeat(129) })).toEqual(['clientIdPattern']);
  for (const until of ['soon', '31.12.2030', 1.5, '12', {}]) expect([until, read({ clientId: 'a', until })]).toEqual([until, ['until']]);
});

test('look-ups: names by namespace, patterns, networks, and the end by the clock', () => {
  let now = 1_000;
  const index = new BanIndex(() => now);
  const forever = Number.POSITIVE_INFINITY;
  const key = (by: Ban['by'], value: string, namespace: string | null = null) => banKey({ by, namespace, value });
  const find = (clientId: string, username: string | null = null, address = '9.9.9.9', namespace = 'default') =>
    index.find({ clientId, username, address, namespace })?.value ?? null;
  expect(index.isEmpty).toBe(true);
  index.apply([
    [key('clientId', 'everywhere'), forever],
    [key('clientId', 'here', 'default'), 2_000],
    [key('username', 'ann'), forever],
    [key('clientIdPattern', 'bot-*', 'other'), 2_000],
    [key('usernamePattern', '*-test'), forever],
    [key('address', '10.0.0.0/8'), forever],
    [key('address', '2001:db8::/48'), 2_000],
    [key('address', '192.168.0.1'), forever],
  ]);
  expect(index.isEmpty).toBe(false);
  expect([find('everywhere'), find('everywhere', null, '', 'other'), find('here'), find('here', null, '', 'other')]).toEqual([
    'everywhere',
    'everywhere',
    'here',
    null,
  ]);
  expect([find('x', 'ann'), find('ann'), find('x', 'a-test'), find('bot-1'), find('bot-1', null, '', 'other')]).toEqual([
    'ann',
    null,
    '*-test',
    null,
    'bot-*',
  ]);
  const addresses = [
    '10.200.1.1',
    '::ffff:10.1.1.1',
    '::ffff:a01:101',
    '2001:db8:0:1::1',
    '192.168.0.1',
    '192.168.0.2',
    '2001:db9::',
    '',
    '::a00:1',
  ];
  expect(addresses.map((address) => index.findAddress(address)?.value ?? null)).toEqual([
    '10.0.0.0/8',
    '10.0.0.0/8',
    '10.0.0.0/8',
    '2001:db8::/48',
    '192.168.0.1',
    null,
    null,
    null,
    null,
  ]);
  now = 2_000;
  expect([find('here'), find('bot-1', null, '', 'other'), find('x', null, '2001:db8::1')]).toEqual([null, null, null]);
  index.apply(
    ['everywhere', 'here', 'ann'].map((value) => [
      key(value === 'ann' ? 'username' : 'clientId', value, value === 'here' ? 'default' : null),
      null,
    ]),
  );
  index.apply([
    [key('clientIdPattern', 'bot-*', 'other'), null],
    [key('usernamePattern', '*-test'), null],
    ...['10.0.0.0/8', '2001:db8::/48', '192.168.0.1'].map((value): [string, null] => [key('address', value), null]),
  ]);
  expect(index.isEmpty).toBe(true);
});

test('100,000 bans: a look-up stays cheap', () => {
  const index = new BanIndex(Date.now);
  const keys = Array.from({ length: 100_000 }, (_, at) =>
    at % 2 === 0
      ? banKey({ by: 'clientId', namespace: null, value: `client-${at}` })
      : banKey({ by: 'address', namespace: null, value: `10.${at >> 16}.${(at >> 8) & 255}.${at & 255}` }),
  );
  index.apply(keys.map((key) => [key, Number.POSITIVE_INFINITY]));
  const started = performance.now();
  for (let at = 0; at < 20_000; at++) index.find({ clientId: `nobody-${at}`, username: 'u', address: '172.16.1.1', namespace: 'default' });
  expect((performance.now() - started) / 20_000).toBeLessThan(0.05);
  expect(banIdOf(keys[2]!).value).toBe('client-2');
});

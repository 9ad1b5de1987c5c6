/** SCRAM: the exchange of RFC 7677, secrets from hashes, and messages that are none. */

import { expect, test } from 'vitest';
import { readHash, scramSecretOf } from '../../../src/kernel/logins/hash-forms.ts';
import { makeHash } from '../../../src/kernel/logins/make-hash.ts';
import { matchesHash } from '../../../src/kernel/logins/match-hash.ts';
import { deriveScram, readScramFirst, ScramError, ScramExchange, type ScramMethod } from '../../../src/kernel/logins/scram.ts';
import { scramClient } from '../../kit/scram.ts';

const bytes = (text: string) => Buffer.from(text);
const first = readScramFirst(bytes('n,,n=user,r=rOprNGfwEbeRWgbNEkqO'));
const published = () => deriveScram('SCRAM-SHA-256', bytes('pencil'), Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64'), 4096);
const nonce = '%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0';
const proven = `c=biws,r=rOprNGfwEbeRWgbNEkqO${nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=`;

test('speaks the exchange of RFC 7677 section 3', async () => {
  const exchange = new ScramExchange(first, await published(), nonce);
  expect(exchange.challenge).toBe(`r=rOprNGfwEbeRWgbNEkqO${nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`);
  expect(exchange.finish(bytes(proven.replace('p=d', 'p=e')))).toBeNull();
  expect(exchange.finish(bytes(proven.replace('VQ=', '')))).toBeNull();
  expect(exchange.finish(bytes(proven))).toBe('v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=');
});

test.each<[ScramMethod, 'scram-sha-256' | 'scram-sha-512' | 'mosquitto']>([
  ['SCRAM-SHA-256', 'scram-sha-256'],
  ['SCRAM-SHA-512', 'scram-sha-512'],
  ['SCRAM-SHA-512', 'mosquitto'],
])('%s takes a hash of the kind %s, which a password proves as well', async (method, kind) => {
  const stored = await makeHash(kind, 'pass=,wörd');
  const other = method === 'SCRAM-SHA-256' ? 'SCRAM-SHA-512' : 'SCRAM-SHA-256';
  expect(scramSecretOf(stored, other)).toBeNull();
  const answer = (password: string, name = 'a=b,c') => {
    const client = scramClient(method, name, password);
    const read = readScramFirst(client.first);
    const exchange = new ScramExchange(read, scramSecretOf(stored, method)!);
    const proof = exchange.finish(client.final(bytes(exchange.challenge)));
    return [read.username, proof !== null && client.isProof(bytes(proof))];
  };
  expect([answer('pass=,wörd'), answer('other')]).toEqual([
    ['a=b,c', true],
    ['a=b,c', false],
  ]);
  const hash = readHash(stored);
  if (typeof hash === 'string') throw new Error(hash);
  expect([await matchesHash(hash, bytes('pass=,wörd')), await matchesHash(hash, bytes('other'))]).toEqual([true, false]);
});

test('normalises a password as SASLprep does', async () => {
  const keyOf = async (password: string) =>
    (await deriveScram('SCRAM-SHA-256', bytes(password), Buffer.alloc(8), 1)).storedKey.toString('hex');
  expect(await keyOf('I\u00adX')).toBe(await keyOf('IX'));
  expect(await keyOf('\u2168')).toBe(await keyOf('IX'));
  expect(await keyOf('a\u00a0b')).toBe(await keyOf('a b'));
  expect(await keyOf('user')).not.toBe(await keyOf('USER'));
});

test('has no secret for a hash of another kind', async () => {
  for (const kind of ['argon2id', 'bcrypt', 'pbkdf2'] as const)
    expect(scramSecretOf(await makeHash(kind, 'x'), 'SCRAM-SHA-512')).toBeNull();
  expect(scramSecretOf('rubbish', 'SCRAM-SHA-256')).toBeNull();
});

test.each([
  '',
  'n=user,r=abc',
  'p=tls-unique,,n=user,r=abc',
  'n,,m=x,n=user,r=abc',
  'n,,n=,r=abc',
  'n,,n=user',
  'n,,n=us=er,r=abc',
  'n,,n=user,r=',
  'n,,n=user,r=ä',
  'n,a=other,n=user,r=abc',
  `n,,n=${'x'.repeat(5000)},r=abc`,
])('refuses the first message %j', (message) => {
  expect(() => readScramFirst(bytes(message))).toThrow(ScramError);
});

test.each([
  '',
  proven.replace('c=biws', 'c=eSws'),
  proven.replace(nonce, 'x'),
  proven.replace(',p=', ',q='),
  proven.slice(proven.indexOf('p=')),
])('refuses the last message %j', async (message) => {
  const exchange = new ScramExchange(first, await published(), nonce);
  expect(() => exchange.finish(bytes(message))).toThrow(ScramError);
});

test('takes the header of a client that knows channel binding, and its own identity', () => {
  expect(readScramFirst(bytes('y,a=us=2Cer,n=us=2Cer,r=abc,x=y'))).toMatchObject({
    username: 'us,er',
    nonce: 'abc',
    header: 'y,a=us=2Cer,',
  });
});

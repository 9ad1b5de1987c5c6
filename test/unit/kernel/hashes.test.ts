/** Hashes of passwords: forms of other programs, made ones, and those that would cost too much. */

import { createHash, pbkdf2Sync } from 'node:crypto';
import { expect, test } from 'vitest';
import { passwordFormProblem } from '../../../src/endpoint/access/password-forms.ts';
import { HASH_FORMS, type HashKind, hashProblem, readHash } from '../../../src/kernel/logins/hash-forms.ts';
import { MADE_HASHES, type MadeHash, makeHash } from '../../../src/kernel/logins/make-hash.ts';
import { matchesHash } from '../../../src/kernel/logins/match-hash.ts';

async function matches(stored: string, password: string): Promise<boolean> {
  const hash = readHash(stored);
  if (typeof hash === 'string') throw new Error(hash);
  return matchesHash(hash, Buffer.from(password));
}

// Published with the reference implementation of Argon2, and in the tests of passlib.
const FOREIGN: readonly (readonly [string, HashKind, string])[] = [
  ['password', 'argon2id', '$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc'],
  ['password', 'pbkdf2', '$pbkdf2-sha256$1212$4vjV83LKPjQzk31VI4E0Vw$hsYF68OiOUPdDZ1Fg.fJPeq1h/gXXY7acBp9/6c.tmQ'],
];
const derived = pbkdf2Sync('wörd', 'salt', 1000, 64, 'sha512');
const base64 = (bytes: Buffer | string) => Buffer.from(bytes).toString('base64');
const bare = (text: string) => text.replace(/=+$/, '');
const OWN: readonly string[] = [
  `$7$1000$${base64('salt')}$${base64(derived)}`,
  `$pbkdf2-sha512$i=1000,l=64$${bare(base64('salt'))}$${bare(base64(derived))}`,
  `$pbkdf2-sha512$1000$${bare(base64('salt'))}$${bare(base64(derived)).replaceAll('+', '.')}`,
  `PBKDF2$sha512$1000$${base64('salt')}$${base64(derived)}`,
  `$pbkdf2-sha256$i=1000$${bare(base64('salt'))}$${bare(base64(pbkdf2Sync('wörd', 'salt', 1000, 32, 'sha256')))}`,
];
const digest = (algorithm: string, text: string) => base64(createHash(algorithm).update(text).digest());
const DIGESTS: readonly string[] = [
  `$digest-sha256$prefix$${base64('salt')}$${digest('sha256', 'saltwörd')}`,
  `$digest-sha256$suffix$${base64('salt')}$${digest('sha256', 'wördsalt')}`,
  `$digest-md5$prefix$$${digest('md5', 'wörd')}`,
  `$digest-sha1$suffix$${base64('s')}$${digest('sha1', 'wörds')}`,
  `$6$${base64('salt')}$${digest('sha512', 'wördsalt')}`,
];

test('knows the hashes of other programs', async () => {
  for (const [password, kind, stored] of FOREIGN) {
    expect([stored, hashProblem(stored, kind), await matches(stored, password)]).toEqual([stored, null, true]);
    expect(await matches(stored, 'passwore')).toBe(false);
  }
  for (const stored of OWN) {
    expect([stored, await matches(stored, 'wörd'), await matches(stored, 'word'), await matches(stored, '')]).toEqual([
      stored,
      true,
      false,
      false,
    ]);
    expect(passwordFormProblem('pbkdf2', stored)).toBeNull();
  }
});

const formOf = (kind: MadeHash) => {
  if (kind === 'mosquitto') return 'pbkdf2';
  return kind === 'scram-sha-256' || kind === 'scram-sha-512' ? 'scram' : kind;
};

test('knows one digest with a salt, as EMQX and mosquitto have it', async () => {
  for (const stored of DIGESTS) {
    expect([stored, await matches(stored, 'wörd'), await matches(stored, 'word')]).toEqual([stored, true, false]);
    expect(passwordFormProblem('auto', stored)).toBeNull();
  }
});

test('makes hashes that it checks, each with its own salt', async () => {
  for (const kind of MADE_HASHES) {
    const [one, other] = [await makeHash(kind, 'pässword'), await makeHash(kind, 'pässword')];
    expect(one).not.toBe(other);
    expect([kind, await matches(one, 'pässword'), await matches(other, 'password')]).toEqual([kind, true, false]);
    expect(passwordFormProblem(formOf(kind), one)).toBeNull();
    expect(passwordFormProblem('auto', one)).toBeNull();
  }
  for (const [kind, password] of [
    ['argon2id', ''],
    ['argon2id', 'x'.repeat(65_536)],
    ['bcrypt', 'x'.repeat(73)],
    ['bcrypt', 'a\0b'],
  ] as const)
    await expect(makeHash(kind, password)).rejects.toMatchObject({ kind: 'invalid' });
});

const argon2 = (costs: string) => `$argon2id$v=19$${costs}$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc`;
const pbkdf2 = (iterations: number, hash = derived) => `$7$${iterations}$${base64('salt')}$${base64(hash)}`;
const scrypt = (costs: string) => `scrypt$${costs}$${base64('salt')}$${base64(derived)}`;

test.each<[string, RegExp]>([
  [argon2('m=262145,t=1,p=1'), /too much/],
  [argon2('m=262144,t=5,p=1'), /too much/],
  [argon2('m=4096,t=3,p=17'), /too much/],
  [argon2('m=4294967295,t=4294967295,p=255'), /too much/],
  [argon2('m=7,t=1,p=1'), /at least/],
  [argon2('m=4096,t=0,p=1'), /at least/],
  [argon2('t=3,m=4096,p=1'), /must be \$argon2id/],
  [argon2('m=4096,t=3,p=1').replace('argon2id', 'argon2d'), /must be \$argon2id/],
  [argon2('m=4096,t=3,p=1').replace('v=19', 'v=16'), /must be \$argon2id/],
  [argon2('m=4096,t=3,p=1').replace('c29tZXNhbHQ', 'c29t'), /salt of 8/],
  [scrypt('131072$8$3'), /too much/],
  [scrypt('16384$8$17'), /must be scrypt/],
  [`$2b$15$${'a'.repeat(53)}`, /cost of 4\.\.14/],
  [pbkdf2(2_000_001), /1\.\.2000000 iterations/],
  [pbkdf2(0), /iterations/],
  [pbkdf2(1, Buffer.alloc(65)), /wrong length/],
  [`$pbkdf2-sha256$i=1000,l=16$${bare(base64('salt'))}$${bare(base64(derived.subarray(0, 32)))}`, /another length/],
  [`$pbkdf2-sha256$i=1000$${bare(base64('salt'))}$${bare(base64(derived))}`, /16 to 32 bytes/],
  [`$pbkdf2-sha1$i=1000$${bare(base64('salt'))}$${bare(base64(derived))}`, /must be \$pbkdf2/],
  [`$6$${base64('s'.repeat(257))}$${base64(derived)}`, /salt of at most/],
  [`SCRAM-SHA-1$4096:${base64('salt')}$${base64(derived)}:${base64(derived)}`, /must be SCRAM/],
  [`SCRAM-SHA-256$4096:${base64('salt')}$${base64(derived)}:${base64(derived)}`, /key of the wrong length/],
  [`SCRAM-SHA-512$2000001:${base64('salt')}$${base64(derived)}:${base64(derived)}`, /1\.\.2000000 iterations/],
  [`$digest-sha256$prefix$${base64('salt')}$${base64('short')}`, /wrong length/],
  [`$digest-sha3$prefix$${base64('salt')}$${base64(derived)}`, /must be \$digest/],
  ['', /no known form/],
  ['secret', /no known form/],
])('refuses %s', (stored, problem) => {
  expect(readHash(stored)).toMatch(problem);
  expect(passwordFormProblem('auto', stored)).toMatch(problem);
  for (const kind of Object.keys(HASH_FORMS) as HashKind[]) expect(hashProblem(stored, kind)).not.toBeNull();
});

test('takes the largest costs that are allowed', () => {
  for (const stored of [argon2('m=262144,t=4,p=16'), scrypt('131072$8$2'), `$2y$14$${'a'.repeat(53)}`, pbkdf2(2_000_000)])
    expect(readHash(stored)).toBeTypeOf('object');
});

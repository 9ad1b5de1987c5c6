/** Sealed texts: what they hold, what they do not show, and what is found when they were altered. */

import { expect, test } from 'vitest';
import { isSealed, Sealer } from '../../../src/storage/sealed/sealer.ts';

const KEY = '0123456789abcdef'.repeat(4);
const of = (secretKey: string | null, secretKeysOld: string[] = []) => new Sealer({ secretKey, secretKeysOld });

test('seals any text, another way each time, and gives it back', () => {
  const sealer = of(KEY);
  for (const text of ['!', 'ünïcode 🔑', 'a'.repeat(10_000), sealer.seal('twice')]) {
    const [one, two] = [sealer.seal(text), sealer.seal(text)];
    expect(one).not.toBe(two);
    expect(isSealed(one)).toBe(true);
    expect(one).not.toContain(text);
    expect([sealer.unseal(one), sealer.unseal(two)]).toEqual([text, text]);
  }
});

test('takes the key as hex, as base64 and as a passphrase', () => {
  const base64 = Buffer.from(KEY, 'hex').toString('base64');
  expect(of(base64).keyId).toBe(of(KEY).keyId);
  expect(of(base64).unseal(of(KEY).seal('text'))).toBe('text');
  const phrase = of('correct horse battery');
  expect(phrase.keyId).not.toBe(of('correct horse batterz').keyId);
  expect(of('correct horse battery').unseal(phrase.seal('text'))).toBe('text');
});

test('leaves a text in clear as it is, and does nothing without a key', () => {
  expect(of(KEY).unseal('plain')).toBe('plain');
  expect(of(null).seal('plain')).toBe('plain');
  expect(of(null).keyId).toBeNull();
});

test('names the key that a text needs, and finds every altered character', () => {
  const sealed = of(KEY).seal('text');
  expect(() => of(null).unseal(sealed)).toThrow(`is sealed with key ${of(KEY).keyId}, and no key is configured`);
  expect(() => of('another passphrase').unseal(sealed)).toThrow(/is sealed with key [0-9a-f]{8}, and only [0-9a-f]{8} is configured/);
  const start = sealed.lastIndexOf(':') + 1;
  for (let index = start; index < sealed.length - 1; index++) {
    const altered = `${sealed.slice(0, index)}${sealed[index] === 'A' ? 'B' : 'A'}${sealed.slice(index + 1)}`;
    expect(() => of(KEY).unseal(altered)).toThrow('was altered');
  }
  for (const broken of ['sealed:v1:', `sealed:v1:${of(KEY).keyId}:`, `sealed:v1:${of(KEY).keyId}:AA`])
    expect(() => of(KEY).unseal(broken)).toThrow();
});

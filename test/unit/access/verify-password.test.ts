/** Every stored form against right and wrong passwords, with hashes made by other means. */

import { createHash, randomBytes, scryptSync } from 'node:crypto';
import { Piscina } from 'piscina';
import { expect, test } from 'vitest';
import type { VerifyJob } from '../../../src/thread/commands.ts';
import { verifyPassword } from '../../../workers/task/verify-password.ts';

const PASSWORD = 'pässwörd';

function job(encrypt: VerifyJob['encrypt'], stored: string, more: Partial<VerifyJob> = {}): VerifyJob {
  return { encrypt, stored, salt: '', saltMode: 'disable', password: Buffer.from(PASSWORD), ...more };
}

async function judge(one: VerifyJob): Promise<[boolean, boolean, boolean]> {
  const wrong = { ...one, password: Buffer.from(`${PASSWORD}x`) };
  return [await verifyPassword(one), await verifyPassword(wrong), await verifyPassword({ ...one, password: Buffer.alloc(0) })];
}

test.each(['md5', 'sha1', 'sha256', 'sha512'] as const)('verifies %s, salted and not, in either case', async (encrypt) => {
  const hex = (text: string) => createHash(encrypt).update(text).digest('hex');
  for (const one of [
    job(encrypt, hex(PASSWORD)),
    job(encrypt, hex(PASSWORD).toUpperCase(), { salt: 'unused' }),
    job(encrypt, hex(`salt${PASSWORD}`), { salt: 'salt', saltMode: 'prefix' }),
    job(encrypt, hex(`${PASSWORD}salt`), { salt: 'salt', saltMode: 'suffix' }),
  ]) {
    expect(await judge(one)).toEqual([true, false, false]);
  }
});

test('knows md5("password") as everyone does', async () => {
  expect(await verifyPassword(job('md5', '5f4dcc3b5aa765d61d8327deb882cf99', { password: Buffer.from('password') }))).toBe(true);
});

test('verifies plain', async () => {
  expect(await judge(job('plain', PASSWORD))).toEqual([true, false, false]);
});

test('verifies scrypt', async () => {
  const salt = randomBytes(16);
  const hash = scryptSync(PASSWORD, salt, 32, { N: 1024, r: 8, p: 2 });
  expect(await judge(job('scrypt', `scrypt$1024$8$2$${salt.toString('base64')}$${hash.toString('base64')}`))).toEqual([true, false, false]);
});

test('verifies bcrypt in its three names', async () => {
  // A vector of crypt_blowfish, which defined these hashes.
  const rest = '05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW';
  for (const name of ['$2a$', '$2b$', '$2y$']) {
    expect(await verifyPassword(job('bcrypt', name + rest, { password: Buffer.from('U*U') }))).toBe(true);
    expect(await verifyPassword(job('bcrypt', name + rest, { password: Buffer.from('U*V') }))).toBe(false);
  }
});

test('tells an unreadable stored form from a wrong password', async () => {
  await expect(verifyPassword(job('sha256', 'abc'))).rejects.toMatchObject({ kind: 'internal' });
  await expect(verifyPassword(job('scrypt', 'scrypt$3$1$1$a$b'))).rejects.toMatchObject({ kind: 'internal' });
});

test('runs in a thread of the pool', async () => {
  const pool = new Piscina({ filename: new URL('../../../workers/task/access-task.ts', import.meta.url).href, maxThreads: 1 });
  try {
    const stored = createHash('sha1').update(PASSWORD).digest('hex');
    expect(await pool.run(job('sha1', stored))).toBe(true);
    expect(await pool.run(job('sha1', stored, { password: Buffer.from('no') }))).toBe(false);
  } finally {
    await pool.destroy();
  }
});

/** Compares a password with its hash. */

import { createHash, pbkdf2, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import type { HashForm } from './hash-forms.ts';
import { argon2, bcrypt } from './libraries.ts';
import { deriveScram } from './scram.ts';
import { matchesScrypt } from './scrypt.ts';

const derive = promisify(pbkdf2);

/** True when `password` is the one that the hash was made from. Takes as long as the hash demands, off this thread; compares in constant time. */
export async function matchesHash(hash: HashForm, password: Uint8Array): Promise<boolean> {
  switch (hash.kind) {
    case 'argon2id':
      return (await argon2()).verify(hash.stored, password);
    case 'bcrypt':
      return (await bcrypt()).verify(password, hash.stored);
    case 'scrypt':
      return matchesScrypt(hash.form, password);
    case 'pbkdf2':
      return timingSafeEqual(await derive(password, hash.salt, hash.iterations, hash.hash.length, hash.digest), hash.hash);
    case 'scram': {
      const { method, salt, iterations, storedKey } = hash.secret;
      return timingSafeEqual((await deriveScram(method, password, salt, iterations)).storedKey, storedKey);
    }
    case 'digest': {
      const [first, second] = hash.isPrefix ? [hash.salt, password] : [password, hash.salt];
      return timingSafeEqual(createHash(hash.algorithm).update(first).update(second).digest(), hash.hash);
    }
  }
}

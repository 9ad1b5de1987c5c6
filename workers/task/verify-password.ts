/** Compares a password with its stored form, in constant time (docs/access.md). */

import { createHash, timingSafeEqual } from 'node:crypto';
import { FluxError } from '../../src/kernel/errors.ts';
import { readHash } from '../../src/kernel/logins/hash-forms.ts';
import { bcrypt } from '../../src/kernel/logins/libraries.ts';
import { matchesHash } from '../../src/kernel/logins/match-hash.ts';
import { matchesScrypt, parseScrypt } from '../../src/kernel/logins/scrypt.ts';
import type { VerifyJob } from '../../src/thread/commands.ts';
import { verifyPlain } from './verify-plain.ts';

/**
 * True when the password matches its stored form. Takes as long as the form demands: belongs off an endpoint's thread, except for `plain`.
 * @throws FluxError `internal` when the stored form is unreadable: a fault, no wrong password, because main has checked the configuration
 */
export async function verifyPassword(job: VerifyJob): Promise<boolean> {
  switch (job.encrypt) {
    case 'plain':
      return verifyPlain(job.stored, job.password);
    case 'scrypt':
      return verifyScrypt(job.stored, job.password);
    case 'bcrypt':
      return (await bcrypt()).verify(job.password, job.stored);
    case 'argon2id':
    case 'pbkdf2':
    case 'scram':
    case 'auto':
      return verifyHash(job.encrypt, job);
    default:
      return verifyDigest(job.encrypt, job);
  }
}

function verifyDigest(algorithm: 'md5' | 'sha1' | 'sha256' | 'sha512', job: VerifyJob): boolean {
  const digest = createHash(algorithm);
  if (job.saltMode === 'prefix') digest.update(job.salt);
  digest.update(job.password);
  if (job.saltMode === 'suffix') digest.update(job.salt);
  const actual = digest.digest();
  const wanted = Buffer.from(job.stored, 'hex');
  if (wanted.length !== actual.length) throw unreadable(algorithm);
  return timingSafeEqual(actual, wanted);
}

async function verifyHash(encrypt: string, { stored, password }: VerifyJob): Promise<boolean> {
  const read = readHash(stored);
  if (typeof read === 'string') throw unreadable(encrypt);
  return matchesHash(read, password);
}

async function verifyScrypt(stored: string, password: Uint8Array): Promise<boolean> {
  const form = parseScrypt(stored);
  if (form === null) throw unreadable('scrypt');
  return matchesScrypt(form, password);
}

function unreadable(form: string): FluxError {
  return new FluxError('internal', `A stored password does not have the form ${form}`);
}

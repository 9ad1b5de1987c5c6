/** Compares a password with the one of the settings, which is in clear or a scrypt hash. */

import { createHash, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { FluxError } from '../../kernel/errors.ts';

interface ScryptHash {
  cost: number;
  blockSize: number;
  parallelization: number;
  salt: Buffer;
  hash: Buffer;
}

/** Checks given passwords against one stored password, in a time that does not depend on where they differ. */
export type PasswordCheck = (given: string) => Promise<boolean>;

/** Memory that one check may take, bytes. */
const MAX_MEMORY = 256 * 1024 * 1024;

/**
 * A check against `stored`: `scrypt$N$r$p$salt$hash` (salt and hash in base64), else clear text.
 * @throws FluxError `invalid` when a scrypt hash is malformed or would cost too much
 */
export function passwordCheck(stored: string, name: string): PasswordCheck {
  if (!stored.startsWith('scrypt$')) return clearCheck(stored);
  const parsed = parseScrypt(stored);
  if (parsed === null) {
    throw new FluxError(
      'invalid',
      `The password of ${name} is not a usable scrypt hash: expected scrypt$N$r$p$salt$hash with salt and hash in base64`,
    );
  }
  return (given) => scryptCheck(parsed, given);
}

function clearCheck(stored: string): PasswordCheck {
  const key = randomBytes(32);
  const wanted = digest(key, stored);
  return async (given) => timingSafeEqual(digest(key, given), wanted);
}

/** Equal lengths for timingSafeEqual; keyed, so that the digest says nothing outside this process. */
function digest(key: Buffer, text: string): Buffer {
  return createHash('sha256').update(key).update(text).digest();
}

function parseScrypt(stored: string): ScryptHash | null {
  const [, cost, blockSize, parallelization, salt, hash, ...rest] = stored.split('$');
  if (salt === undefined || hash === undefined || rest.length > 0) return null;
  const parsed: ScryptHash = {
    cost: Number(cost),
    blockSize: Number(blockSize),
    parallelization: Number(parallelization),
    salt: Buffer.from(salt, 'base64'),
    hash: Buffer.from(hash, 'base64'),
  };
  return isUsable(parsed) ? parsed : null;
}

function isUsable(hash: ScryptHash): boolean {
  const power = Math.log2(hash.cost);
  if (!Number.isInteger(power) || power < 1 || !Number.isInteger(hash.blockSize) || hash.blockSize < 1) return false;
  if (!Number.isInteger(hash.parallelization) || hash.parallelization < 1 || hash.parallelization > 16) return false;
  return memoryOf(hash) <= MAX_MEMORY && hash.hash.length >= 16 && hash.hash.length <= 128;
}

/** RFC 7914 section 6: the vector V and the blocks B. */
function memoryOf(hash: ScryptHash): number {
  return 128 * hash.blockSize * (hash.cost + hash.parallelization);
}

function scryptCheck(stored: ScryptHash, given: string): Promise<boolean> {
  const options = { N: stored.cost, r: stored.blockSize, p: stored.parallelization, maxmem: memoryOf(stored) * 2 };
  return new Promise((resolve, reject) => {
    scrypt(given, stored.salt, stored.hash.length, options, (error, key) => {
      if (error !== null) reject(error);
      else resolve(timingSafeEqual(key, stored.hash));
    });
  });
}

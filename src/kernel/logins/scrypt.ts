/** Passwords as scrypt hashes (RFC 7914): the stored form, read strictly, and the comparison with a given password. */

import { scrypt, timingSafeEqual } from 'node:crypto';

export interface ScryptForm {
  /** CPU and memory cost, a power of two */
  cost: number;
  blockSize: number;
  parallelization: number;
  salt: Buffer;
  hash: Buffer;
}

/** Memory that one check may take, in bytes: 128 · N · r. */
const MEMORY_MAX = 256 * 1024 * 1024;
/** Room for the blocks, 128 · r · p, beside that. */
const BLOCKS_MEMORY_MAX = 16 * 1024 * 1024;

const FORM = /^scrypt\$(\d{1,8})\$(\d{1,3})\$(\d{1,3})\$([A-Za-z0-9+/_-]+={0,2})\$([A-Za-z0-9+/_-]+={0,2})$/;

/** Reads `scrypt$N$r$p$saltBase64$hashBase64`; null when the form is wrong, or asks for too much memory or time. */
export function parseScrypt(text: string): ScryptForm | null {
  const match = FORM.exec(text);
  if (match === null) return null;
  const [, cost, blockSize, parallelization] = match.map(Number) as [number, number, number, number];
  const salt = Buffer.from(match[4] ?? '', 'base64');
  const hash = Buffer.from(match[5] ?? '', 'base64');
  const isPowerOfTwo = cost > 1 && (cost & (cost - 1)) === 0;
  if (!isPowerOfTwo || blockSize < 1 || parallelization < 1 || parallelization > 16) return null;
  if (128 * cost * blockSize > MEMORY_MAX || salt.length < 1 || hash.length < 16 || hash.length > 128) return null;
  return { cost, blockSize, parallelization, salt, hash };
}

/** True when `password` is the one that `form` was made from; compares in constant time. */
export function matchesScrypt(form: ScryptForm, password: string | Uint8Array): Promise<boolean> {
  const { cost: N, blockSize: r, parallelization: p } = form;
  const options = { N, r, p, maxmem: MEMORY_MAX + BLOCKS_MEMORY_MAX };
  return new Promise((resolve, reject) => {
    scrypt(password, form.salt, form.hash.length, options, (error, key) => {
      if (error === null) resolve(timingSafeEqual(key, form.hash));
      else reject(error);
    });
  });
}

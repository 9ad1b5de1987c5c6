/** The forms in which a password may be stored, read strictly, so that a wrong one is found when it is configured. */

import type { FixedUser } from './endpoint.ts';

export interface ScryptForm {
  /** CPU and memory cost, a power of two */
  cost: number;
  blockSize: number;
  parallelization: number;
  salt: Buffer;
  hash: Buffer;
}

/** Memory that one check may take, in bytes: 128 · N · r. */
export const SCRYPT_MEMORY_MAX = 256 * 1024 * 1024;
const BCRYPT_COST_MAX = 16;

const HEX_LENGTH: Partial<Record<FixedUser['encrypt'], number>> = { md5: 32, sha1: 40, sha256: 64, sha512: 128 };
const SCRYPT = /^scrypt\$(\d{1,8})\$(\d{1,3})\$(\d{1,3})\$([A-Za-z0-9+/_-]+={0,2})\$([A-Za-z0-9+/_-]+={0,2})$/;
const BCRYPT = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/;

/** Reads `scrypt$N$r$p$saltBase64$hashBase64`; null when it is not of that form or asks for too much memory or time. */
export function parseScrypt(text: string): ScryptForm | null {
  const match = SCRYPT.exec(text);
  if (match === null) return null;
  const [, cost, blockSize, parallelization] = match.map(Number) as [number, number, number, number];
  const salt = Buffer.from(match[4] ?? '', 'base64');
  const hash = Buffer.from(match[5] ?? '', 'base64');
  const isPowerOfTwo = cost > 1 && (cost & (cost - 1)) === 0;
  if (!isPowerOfTwo || blockSize < 1 || parallelization < 1 || parallelization > 16) return null;
  if (128 * cost * blockSize > SCRYPT_MEMORY_MAX || salt.length < 1 || hash.length < 16 || hash.length > 128) return null;
  return { cost, blockSize, parallelization, salt, hash };
}

/** What is wrong with a stored password, or null. */
export function passwordFormProblem(encrypt: FixedUser['encrypt'], stored: string): string | null {
  const hexLength = HEX_LENGTH[encrypt];
  if (hexLength !== undefined) {
    return new RegExp(`^[0-9a-fA-F]{${hexLength}}$`).test(stored) ? null : `must be the ${encrypt} hash, ${hexLength} hexadecimal digits`;
  }
  if (encrypt === 'scrypt') return parseScrypt(stored) === null ? 'must be scrypt$N$r$p$saltBase64$hashBase64 (N a power of two)' : null;
  if (encrypt === 'bcrypt') {
    const match = BCRYPT.exec(stored);
    if (match === null) return 'must be a bcrypt hash ($2a$, $2b$ or $2y$)';
    const cost = Number(match[1]);
    return cost < 4 || cost > BCRYPT_COST_MAX ? `must have a bcrypt cost of 4..${BCRYPT_COST_MAX}` : null;
  }
  return null;
}

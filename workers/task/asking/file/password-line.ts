/** One line of a password file, and the check of a password against it. */

import { createHash, pbkdf2, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { passwordFormProblem } from '../../../../src/endpoint/access/password-forms.ts';
import { verifyPassword } from '../../verify-password.ts';

/** Half a second of a processor. */
const ITERATIONS_MAX = 1_000_000;
const SHA512_BYTES = 64;
/** mosquitto: `$6$salt$hash` (SHA-512 of password and salt) and `$7$iterations$salt$hash` (PBKDF2 with SHA-512), in base64. */
const MOSQUITTO = /^\$(?:6|7\$(\d{1,9}))\$([A-Za-z0-9+/]+={0,2})\$([A-Za-z0-9+/]+={0,2})$/;

const derive = promisify(pbkdf2);

/** The user and the stored password of a line; null: a blank line or a comment. @throws Error, which names no part of the line */
export function readPasswordLine(line: string): { username: string; stored: string } | null {
  const text = line.endsWith('\r') ? line.slice(0, -1) : line;
  if (text.trim() === '' || text.startsWith('#')) return null;
  const colon = text.indexOf(':');
  if (colon < 1) throw new Error('has no user name and password with a colon between them');
  const stored = text.slice(colon + 1);
  const problem = problemOf(stored);
  if (problem !== null) throw new Error(problem);
  return { username: text.slice(0, colon), stored };
}

function problemOf(stored: string): string | null {
  const match = MOSQUITTO.exec(stored);
  if (match !== null) {
    const [, iterations, , hash = ''] = match;
    if (Buffer.from(hash, 'base64').length !== SHA512_BYTES) return 'has a hash of the wrong length';
    if (iterations === undefined) return null;
    return Number(iterations) >= 1 && Number(iterations) <= ITERATIONS_MAX ? null : `must have 1..${ITERATIONS_MAX} iterations`;
  }
  if (stored.startsWith('scrypt$')) return passwordFormProblem('scrypt', stored);
  if (stored.startsWith('$2')) return passwordFormProblem('bcrypt', stored);
  return 'has no known form of a hash: $6$, $7$, scrypt$ or $2b$';
}

/** Compares in constant time. The stored form is one that readPasswordLine() has accepted. */
export async function matchesStored(stored: string, password: Uint8Array): Promise<boolean> {
  const match = MOSQUITTO.exec(stored);
  if (match === null)
    return verifyPassword({ encrypt: stored.startsWith('scrypt$') ? 'scrypt' : 'bcrypt', stored, salt: '', saltMode: 'disable', password });
  const [, iterations, salt = '', hash = ''] = match;
  const saltBytes = Buffer.from(salt, 'base64');
  const actual =
    iterations === undefined
      ? createHash('sha512').update(password).update(saltBytes).digest()
      : await derive(password, saltBytes, Number(iterations), SHA512_BYTES, 'sha512');
  return timingSafeEqual(actual, Buffer.from(hash, 'base64'));
}

/** Compares a password with clear text, the one comparison on an endpoint's own thread. The module loads none of the hash libraries. */

import { createHash, timingSafeEqual } from 'node:crypto';

/** Compares digests, which have one length: the time of the comparison does not reveal the length of the password. */
export function verifyPlain(stored: string, password: Uint8Array): boolean {
  return timingSafeEqual(createHash('sha256').update(stored).digest(), createHash('sha256').update(password).digest());
}

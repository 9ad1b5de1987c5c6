/** Compares a password with clear text: the one comparison that an endpoint's thread does itself, which need not load what the others need. */

import { createHash, timingSafeEqual } from 'node:crypto';

/** Digests have one length, so that the comparison does not tell the length of the password. */
export function verifyPlain(stored: string, password: Uint8Array): boolean {
  return timingSafeEqual(createHash('sha256').update(stored).digest(), createHash('sha256').update(password).digest());
}

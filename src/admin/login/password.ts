/** Compares a password with the one of the settings, which is in clear or a scrypt hash. */

import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { FluxError } from '../../kernel/errors.ts';
import { matchesScrypt, parseScrypt } from '../../kernel/logins/scrypt.ts';

/** Checks given passwords against one stored password, in a time that does not depend on where they differ. */
export type PasswordCheck = (given: string) => Promise<boolean>;

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
  return (given) => matchesScrypt(parsed, given);
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

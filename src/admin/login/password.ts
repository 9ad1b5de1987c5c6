/** Compares a password with the stored one in the settings, which is clear text or a scrypt hash. */

import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { FluxError } from '../../kernel/errors.ts';
import { readHash } from '../../kernel/logins/hash-forms.ts';
import { matchesHash } from '../../kernel/logins/match-hash.ts';
import { matchesScrypt, parseScrypt } from '../../kernel/logins/scrypt.ts';

/** Checks given passwords against one stored password. The time of the comparison does not depend on where they differ. */
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

/** A check against a hash of the store. An unreadable one, which a newer version may have written, is right for no password. */
export async function isPasswordOf(hash: string, given: string): Promise<boolean> {
  const form = readHash(hash);
  return typeof form !== 'string' && (await matchesHash(form, Buffer.from(given)));
}

function clearCheck(stored: string): PasswordCheck {
  const key = randomBytes(32);
  const wanted = digest(key, stored);
  return async (given) => timingSafeEqual(digest(key, given), wanted);
}

/** Gives timingSafeEqual equal lengths. The key makes the digest useless outside of this process. */
function digest(key: Buffer, text: string): Buffer {
  return createHash('sha256').update(key).update(text).digest();
}

/** The stored forms of a password, read strictly: a malformed one is reported when it is configured. */

import { HASH_FORMS, type HashKind, hashProblem, readHash } from '../../kernel/logins/hash-forms.ts';
import type { Encryption } from './config.ts';

const HEX_LENGTH: Partial<Record<Encryption, number>> = { md5: 32, sha1: 40, sha256: 64, sha512: 128 };

/** The reason why a stored password is malformed, or would cost too much to check; null: it is usable. */
export function passwordFormProblem(encrypt: Encryption, stored: string): string | null {
  const hexLength = HEX_LENGTH[encrypt];
  if (hexLength !== undefined) {
    return new RegExp(`^[0-9a-fA-F]{${hexLength}}$`).test(stored) ? null : `must be the ${encrypt} hash, ${hexLength} hexadecimal digits`;
  }
  if (encrypt === 'auto') {
    const read = readHash(stored);
    return typeof read === 'string' ? read : null;
  }
  return isKind(encrypt) ? hashProblem(stored, encrypt) : null;
}

function isKind(encrypt: string): encrypt is HashKind {
  return Object.hasOwn(HASH_FORMS, encrypt);
}

/** The stored forms of a password, read strictly: a malformed one is reported when it is configured. */

import { parseScrypt } from '../../kernel/logins/scrypt.ts';
import type { FixedUser } from '../endpoint.ts';

const BCRYPT_COST_MAX = 16;

const HEX_LENGTH: Partial<Record<FixedUser['encrypt'], number>> = { md5: 32, sha1: 40, sha256: 64, sha512: 128 };
const BCRYPT = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/;

/** The reason why a stored password is malformed, or null. */
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

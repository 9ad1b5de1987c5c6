/** One line of a password file, and the check of a password against it. */

import { readHash } from '../../../../src/kernel/logins/hash-forms.ts';
import { matchesHash } from '../../../../src/kernel/logins/match-hash.ts';

/** The user and the stored password of a line; null: a blank line or a comment. @throws Error, which names no part of the line */
export function readPasswordLine(line: string): { username: string; stored: string } | null {
  const text = line.endsWith('\r') ? line.slice(0, -1) : line;
  if (text.trim() === '' || text.startsWith('#')) return null;
  const colon = text.indexOf(':');
  if (colon < 1) throw new Error('has no user name and password with a colon between them');
  const stored = text.slice(colon + 1);
  const read = readHash(stored);
  if (typeof read === 'string') throw new Error(read);
  return { username: text.slice(0, colon), stored };
}

/** Compares in constant time. The stored form is one that readPasswordLine() has accepted. */
export async function matchesStored(stored: string, password: Uint8Array): Promise<boolean> {
  const hash = readHash(stored);
  return typeof hash !== 'string' && matchesHash(hash, password);
}

/** Bearer tokens of logins: random, kept only as hashes, bounded in number and in age. */

import { createHash, randomBytes } from 'node:crypto';
import { BoundedMap } from '../../kernel/bounded-map.ts';
import { wallNow } from '../../kernel/clock.ts';
import type { Login } from './identity.ts';

/** Life of a token, milliseconds. */
export const TOKEN_LIFETIME_MS = 12 * 3600 * 1000;
/** Most tokens; a new token evicts the oldest. */
export const TOKENS_MAX = 1000;

interface Entry {
  login: Login;
  /** of the account at the time of the login: the token ends when it changes */
  stamp: string;
  /** by the steady clock */
  expires: number;
}

export class TokenStore {
  /** Insertion order is age: the first is the oldest. */
  readonly #entries = new BoundedMap<string, Entry>(TOKENS_MAX);
  readonly #now: () => number;

  /** @param now the steady clock, milliseconds */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** A new token for `login`; `expires` is for display, milliseconds since the epoch. */
  issue(login: Login, stamp: string): { token: string; expires: number } {
    const token = randomBytes(32).toString('base64url');
    const expires = this.#now() + TOKEN_LIFETIME_MS;
    this.#entries.set(hashOf(token), { login, stamp, expires });
    return { token, expires: wallNow() + TOKEN_LIFETIME_MS };
  }

  /** The login of a token, and the stamp of its account then; null when the token is unknown or expired. */
  find(token: string): Pick<Entry, 'login' | 'stamp'> | null {
    const key = hashOf(token);
    const entry = this.#entries.get(key);
    if (entry === undefined) return null;
    if (entry.expires > this.#now()) return entry;
    this.#entries.delete(key);
    return null;
  }
}

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('base64');
}

/** Decisions of authenticators that are still valid. No password is kept: a keyed hash names the login. */

import { createHmac, randomBytes } from 'node:crypto';
import { BoundedMap } from '../../../src/kernel/bounded-map.ts';
import { steadyNow, wallNow } from '../../../src/kernel/clock.ts';
import type { LoginVerdict } from '../../../src/thread/access/ask.ts';

/** Decisions of one authenticator in one thread. A full cache evicts the oldest one. */
const VERDICTS_MAX = 10_000;

interface Kept {
  readonly verdict: LoginVerdict;
  /** steady milliseconds */
  readonly until: number;
}

export class VerdictCache {
  readonly #secret = randomBytes(32);
  readonly #kept = new BoundedMap<string, Kept>(VERDICTS_MAX);
  readonly #keepMs: number;

  /** @param keepSeconds 1.. */
  constructor(keepSeconds: number) {
    this.#keepMs = keepSeconds * 1000;
  }

  /** The name of a login. @param parts everything that the decision depends on; null: the client lacks it */
  keyOf(parts: readonly (string | Uint8Array | null)[]): string {
    const hash = createHmac('sha256', this.#secret);
    for (const part of parts) {
      if (part === null) hash.update('-');
      else {
        const bytes = typeof part === 'string' ? Buffer.from(part, 'utf8') : part;
        hash.update(`${bytes.length}:`).update(bytes);
      }
    }
    return hash.digest('base64');
  }

  get(key: string): LoginVerdict | null {
    const kept = this.#kept.get(key);
    if (kept === undefined) return null;
    if (steadyNow() < kept.until && wallNow() < endOf(kept.verdict)) return kept.verdict;
    this.#kept.delete(key);
    return null;
  }

  set(key: string, verdict: LoginVerdict): void {
    this.#kept.set(key, { verdict, until: steadyNow() + this.#keepMs });
  }
}

function endOf(verdict: LoginVerdict): number {
  return verdict.result === 'allow' ? (verdict.keepUntil ?? verdict.expireAt ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY;
}

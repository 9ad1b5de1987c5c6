/** Counts the persistent sessions of each endpoint, for the quota `maxSessionSize`. */

import type { IdentifierEntry } from './entry.ts';

export class PersistentCounts {
  readonly #counts = new Map<string, number>();

  /** Sessions with expiry > 0, by endpoint. */
  get all(): ReadonlyMap<string, number> {
    return this.#counts;
  }

  of(endpoint: string): number {
    return this.#counts.get(endpoint) ?? 0;
  }

  /** True when the claim of one more persistent session exceeds `max`. A claim of a session that is counted already never exceeds it. */
  isOver({ endpoint: counted, expirySeconds }: IdentifierEntry, endpoint: string, max: number): boolean {
    return !(expirySeconds > 0 && counted === endpoint) && this.of(endpoint) >= max;
  }

  /** Sets endpoint and expiry of an entry, and counts it accordingly. */
  describe(entry: IdentifierEntry, endpoint: string, expirySeconds: number): void {
    if (entry.expirySeconds > 0) this.#count(entry.endpoint, -1);
    entry.endpoint = endpoint;
    entry.expirySeconds = expirySeconds;
    if (expirySeconds > 0) this.#count(endpoint, 1);
  }

  #count(endpoint: string, change: number): void {
    const count = this.of(endpoint) + change;
    if (count === 0) this.#counts.delete(endpoint);
    else this.#counts.set(endpoint, count);
  }
}

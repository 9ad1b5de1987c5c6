/** Claims that come to a new session worker before the endpoint workers have reported their sessions. */

import type { WaitingClaim } from './entry.ts';

export class EarlyClaims {
  /** peers that have registered their sessions; null: all first peers have */
  #registered: Set<number> | null = new Set();
  #waiting: WaitingClaim[] = [];

  /** True when the sessions of all peers are known: claims are served at once. */
  get isOver(): boolean {
    return this.#registered === null;
  }

  add(claim: WaitingClaim): void {
    this.#waiting.push(claim);
  }

  registered(peer: number): void {
    this.#registered?.add(peer);
  }

  /**
   * Waits for all peers: an earlier grant could create a second session beside one that lives elsewhere.
   * @returns the claims that waited, when the last of these peers has registered; null while one is missing, and ever after
   */
  take(peers: Iterable<number>): WaitingClaim[] | null {
    const registered = this.#registered;
    if (registered === null) return null;
    for (const id of peers) if (!registered.has(id)) return null;
    this.#registered = null;
    const waiting = this.#waiting;
    this.#waiting = [];
    return waiting;
  }
}

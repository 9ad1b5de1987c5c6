/** Counts the sessions of each endpoint for main: persistent, offline, dropped messages, withdrawn subscriptions. */

import type { SessionCount } from '../../../src/thread/commands.ts';
import type { DropReason, Session } from '../../shared/session/session.ts';

export class AwayCounts {
  /** messages dropped since the last count, by endpoint */
  readonly #drops = new Map<string, Map<DropReason, number>>();
  /** subscriptions withdrawn since the last count, by endpoint */
  readonly #withdrawals = new Map<string, number>();

  dropped(endpoint: string, reason: DropReason, count: number): void {
    let reasons = this.#drops.get(endpoint);
    if (reasons === undefined) {
      reasons = new Map();
      this.#drops.set(endpoint, reasons);
    }
    reasons.set(reason, (reasons.get(reason) ?? 0) + count);
  }

  withdrawn(endpoint: string, count: number): void {
    this.#withdrawals.set(endpoint, (this.#withdrawals.get(endpoint) ?? 0) + count);
  }

  /**
   * Reads the counts by endpoint. Drops and withdrawals count from the last call on.
   * @param persistent sessions that outlive their connection, by endpoint
   * @param away offline sessions
   */
  take(persistent: ReadonlyMap<string, number>, away: Iterable<Session>): SessionCount[] {
    const counts = new Map<string, SessionCount>();
    const of = (endpoint: string) => {
      let count = counts.get(endpoint);
      if (count === undefined) {
        count = { endpoint, persistent: 0, offline: 0, dropped: {}, withdrawn: 0 };
        counts.set(endpoint, count);
      }
      return count;
    };
    for (const [endpoint, count] of persistent) of(endpoint).persistent = count;
    for (const session of away) of(session.endpoint).offline++;
    for (const [endpoint, reasons] of this.#drops) of(endpoint).dropped = Object.fromEntries(reasons);
    this.#drops.clear();
    for (const [endpoint, withdrawn] of this.#withdrawals) of(endpoint).withdrawn = withdrawn;
    this.#withdrawals.clear();
    return [...counts.values()];
  }
}

/** Cuts large work into turns: a thread does a bounded amount in one loop iteration, and all kinds of callers take turns in order of arrival. */

import { Fifo } from '../fifo.ts';

/** One instance for each kind of work on a thread. */
export class Turns {
  /** units of one loop iteration; also the right size of one piece of work */
  readonly atOnce: number;
  /** units taken in this loop iteration */
  #taken = 0;
  /** callers that wait for a later iteration; nobody waits while this one has room, and the callers bound their number */
  readonly #waiting = new Fifo<{ units: number; go: () => void }>();

  /** @param atOnce units of work, above 0 */
  constructor(atOnce: number) {
    this.atOnce = atOnce;
  }

  /** Null while this loop iteration has room. Else resolves in an iteration that has. A caller waits with one piece of work at a time. */
  take(units: number): Promise<void> | null {
    if (this.#taken === 0) setImmediate(this.#next);
    if (this.#taken >= this.atOnce) return new Promise((go) => this.#waiting.push({ units, go }));
    this.#taken += units;
    return null;
  }

  /** Runs in the check phase of each iteration that took units. */
  readonly #next = (): void => {
    this.#taken = 0;
    while (this.#taken < this.atOnce) {
      const next = this.#waiting.shift();
      if (next === undefined) break;
      this.#taken += next.units;
      next.go();
    }
    if (this.#taken > 0) setImmediate(this.#next);
  };
}

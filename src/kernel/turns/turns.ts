/** Cuts large work up: a thread does so much of it in one loop iteration, and everybody who has some gets a turn, in the order in which they came. */

import { Fifo } from '../fifo.ts';

/** Shared by all who do one kind of work on a thread. */
export class Turns {
  /** units after which the others on this thread get their turn; also how large one piece of work should be */
  readonly atOnce: number;
  /** taken in this loop iteration */
  #taken = 0;
  /** who waits for a later iteration: nobody while there is room in this one; bounded by those who do the work */
  readonly #waiting = new Fifo<{ units: number; go: () => void }>();

  /** @param atOnce units of work, above 0 */
  constructor(atOnce: number) {
    this.atOnce = atOnce;
  }

  /** Null: there is room in this loop iteration. Else resolves in one that has; whoever waits has one piece of work waiting at a time. */
  take(units: number): Promise<void> | null {
    if (this.#taken === 0) setImmediate(this.#next);
    if (this.#taken >= this.atOnce) return new Promise((go) => this.#waiting.push({ units, go }));
    this.#taken += units;
    return null;
  }

  /** In the check phase of each iteration in which something was taken. */
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

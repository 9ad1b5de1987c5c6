/** Takes the filters of sessions that have ended or moved out of the tree of this worker, in slices. */

import { Fifo } from '../../../src/kernel/fifo.ts';
import { Pace } from '../../../src/kernel/turns/pace.ts';

/** Filters of one session that are removed together. */
const FILTERS_AT_ONCE = 50;
/** Milliseconds per loop iteration. */
const SLICE_MS = 5;
/** Share of the filters that every iteration removes, whatever time it takes: otherwise the backlog could grow without end. */
const SLICE_PART = 1 / 8;
/** Filters whose removal may be deferred. */
const LEAVING_MAX = 100_000;

/** A session that has gone from here. Its filters are still in the tree, and it takes no message. */
export interface Leaver {
  /** filters left */
  readonly left: number;
  /** Removes `count` filters, or all when fewer are left. */
  remove(count: number): void;
}

export class Removal {
  /** in order of their end */
  readonly #leaving = new Fifo<Leaver>();
  #left = 0;

  /** True when `filters` are removed together, and at once: they are few, or too many others wait. */
  isAtOnce(filters: number): boolean {
    return filters <= FILTERS_AT_ONCE || this.#left >= LEAVING_MAX;
  }

  /** Removes its filters in later loop iterations. @param leaver with at least one */
  add(leaver: Leaver): void {
    this.#left += leaver.left;
    this.#leaving.push(leaver);
    if (this.#leaving.length === 1) setImmediate(this.#slice);
  }

  /** Removes filters while there is time, those of the first session that left first. */
  readonly #slice = (): void => {
    const pace = new Pace(SLICE_MS);
    const mayWait = this.#left * (1 - SLICE_PART);
    for (let leaver = this.#leaving.peek(); leaver !== undefined; leaver = this.#leaving.peek()) {
      const before = leaver.left;
      leaver.remove(FILTERS_AT_ONCE);
      this.#left -= before - leaver.left;
      if (leaver.left === 0) this.#leaving.shift();
      if (pace.isOver && this.#left <= mayWait) break;
    }
    if (this.#leaving.length > 0) setImmediate(this.#slice);
  };
}

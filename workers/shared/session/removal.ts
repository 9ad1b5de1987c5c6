/** Takes the filters of sessions that have ended or moved out of the tree of this worker, in slices. */

import { Fifo } from '../../../src/kernel/fifo.ts';
import { Pace } from '../../../src/kernel/turns/pace.ts';
import { PIECE_LENGTH } from '../wire/piece.ts';

/** Filters of one session that are removed together. */
export const FILTERS_AT_ONCE = 50;
/** Time per loop iteration (ms). Each SLICE_FILTERS of the backlog add as much again, up to the maximum, so that the backlog cannot grow. */
const SLICE_MS = 5;
const SLICE_MS_MAX = 25;
const SLICE_FILTERS = 100_000;
/** Characters of the filters that are removed in one iteration: the post of each filter to all peers costs time, too. */
const SLICE_LENGTH = 4 * PIECE_LENGTH;

/** A session that has left. Its filters are still in the tree, and it takes no message. */
export interface LeavingSession {
  /** number of filters still in the tree */
  readonly left: number;
  /** Removes `count` filters, fewer when they have more characters than a piece, or all when fewer are left. @returns their characters */
  remove(count: number): number;
}

export class Removal {
  /** in the order in which the sessions ended */
  readonly #leaving = new Fifo<LeavingSession>();
  #left = 0;

  /** True when filters are removed together, and at once. @param length their characters */
  isAtOnce(filters: number, length: number): boolean {
    return filters <= FILTERS_AT_ONCE && length < PIECE_LENGTH;
  }

  /** Removes its filters in later loop iterations. @param leaver with at least one */
  add(leaver: LeavingSession): void {
    this.#left += leaver.left;
    this.#leaving.push(leaver);
    if (this.#leaving.length === 1) setImmediate(this.#slice);
  }

  /** Removes filters while time is left, beginning with the session that left first. */
  readonly #slice = (): void => {
    const pace = new Pace(Math.min(SLICE_MS_MAX, SLICE_MS * (1 + Math.floor(this.#left / SLICE_FILTERS))));
    let length = 0;
    for (let leaver = this.#leaving.peek(); leaver !== undefined; leaver = this.#leaving.peek()) {
      const before = leaver.left;
      length += leaver.remove(FILTERS_AT_ONCE);
      this.#left -= before - leaver.left;
      if (leaver.left === 0) this.#leaving.shift();
      if (pace.isOver || length >= SLICE_LENGTH) break;
    }
    if (this.#leaving.length > 0) setImmediate(this.#slice);
  };
}

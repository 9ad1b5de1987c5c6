/** The order of claims in the cluster: the wall clock, which never falls behind a stamp that this node has seen. */

import { wallNow } from '../../../src/kernel/clock.ts';

/** Stamps of one millisecond. */
const PER_MS = 1024;

/** Not the clock of RETAIN publishes (shared/messages/stamp.ts): that clock counts in another unit, on disk and between versions, and in shared memory. */
export class Stamps {
  readonly #wall: () => number;
  #last = 0;

  /** @param wall milliseconds since 1970 */
  constructor(wall: () => number = wallNow) {
    this.#wall = wall;
  }

  /** The last stamp that was given or seen. */
  get last(): number {
    return this.#last;
  }

  /** Above every stamp before; safe integers until the year 2248. */
  next(): number {
    this.#last = Math.max(this.#wall() * PER_MS, this.#last + 1);
    return this.#last;
  }

  /** A stamp of another node: every stamp that this node gives from now on is later. */
  see(stamp: number): void {
    if (stamp > this.#last) this.#last = stamp;
  }
}

/** Whether one claim comes before another. Two nodes may give the same stamp; their names decide then. */
export function isBefore(stamp: number, node: string, otherStamp: number, otherNode: string): boolean {
  return stamp === otherStamp ? node < otherNode : stamp < otherStamp;
}

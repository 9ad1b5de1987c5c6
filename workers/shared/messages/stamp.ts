/** The time of a RETAIN publish, by which all nodes of a cluster keep the same newest message although their clocks differ. */

import { wallNow } from '../../../src/kernel/clock.ts';
import { FNV_BASIS, fnv1a } from '../../../src/kernel/fnv.ts';
import { STAMP_BYTES_AT } from '../../../src/thread/message-numbers.ts';

/** Names one RETAIN publish among all publishes of a cluster. */
export interface Stamp {
  /** milliseconds since the epoch times 2048, or the newest stamp that the node knew plus one, whichever is higher. 0: no stamp */
  readonly at: number;
  /** number of the node that gave the stamp, 0..2^32-1 */
  readonly by: number;
}

/** The stamp of a message that no node has stamped. */
export const UNSTAMPED: Stamp = { at: 0, by: 0 };

/** A stamp further ahead of this node's clock is not credible (ms). Clocks may differ by a minute, and a burst runs ahead of its clock. */
export const AHEAD_MS = 61_000;
/** Stamps of one millisecond. */
const STAMPS_PER_MS = 2048;

/** A total order: all nodes choose the same of two publishes. */
export function isNewer(one: Stamp, other: Stamp): boolean {
  return one.at === other.at ? one.by > other.by : one.at > other.at;
}

/** The first stamp of a millisecond. @param wall milliseconds since the epoch */
export function stampAt(wall: number): number {
  return Math.floor(wall) * STAMPS_PER_MS;
}

/**
 * Stamps publishes; all threads of a process share the newest stamp. Claims have a clock of their own (host/cluster/stamps.ts): both kinds of
 * stamps are on disk and cross between versions, in different units, and claims are stamped by one thread, which needs no atomic operations.
 */
export class StampClock {
  readonly #newest: BigInt64Array;
  readonly #by: number;
  readonly #wall: () => number;

  /**
   * @param numbers from `WorkerBoot`
   * @param node name of this node
   * @param wall milliseconds since the epoch
   */
  constructor(numbers: SharedArrayBuffer, node: string, wall: () => number = wallNow) {
    this.#newest = new BigInt64Array(numbers, STAMP_BYTES_AT, 1);
    this.#by = fnv1a(node, FNV_BASIS) >>> 0;
    this.#wall = wall;
  }

  /** Newer than every stamp that this process has given or noted. */
  next(): Stamp {
    const now = BigInt(stampAt(this.#wall()));
    for (;;) {
      const newest = Atomics.load(this.#newest, 0);
      const next = now > newest ? now : newest + 1n;
      if (Atomics.compareExchange(this.#newest, 0, newest, next) === newest) return { at: Number(next), by: this.#by };
    }
  }

  /** Notes a stamp of another node, so that later stamps of this node are newer. @returns false when the stamp is not credible */
  note({ at }: Stamp): boolean {
    if (!this.isCredible(at)) return false;
    const seen = BigInt(at);
    for (;;) {
      const newest = Atomics.load(this.#newest, 0);
      if (newest >= seen || Atomics.compareExchange(this.#newest, 0, newest, seen) === newest) return true;
    }
  }

  /** False for a stamp of a clock that is more than AHEAD_MS ahead of this node's clock. */
  isCredible(at: number): boolean {
    return at <= stampAt(this.#wall() + AHEAD_MS);
  }

  /** Milliseconds since the epoch. */
  get wall(): number {
    return this.#wall();
  }
}

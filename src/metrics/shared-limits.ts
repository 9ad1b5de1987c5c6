/** Limits that are exact over all workers of an endpoint: a connection count and a token bucket in shared memory. */

const CONNECTIONS = 0;
const PEAK = 1;
const BYTES = 16;

/** Microseconds in a second. */
const SECOND_US = 1_000_000n;

/** A zeroed block: no connections, a full bucket. */
export function createSharedLimits(): SharedArrayBuffer {
  return new SharedArrayBuffer(BYTES);
}

/** View of one endpoint's block; every worker of the endpoint has one over the same memory. */
export class SharedLimits {
  readonly #counts: Int32Array;
  readonly #clock: BigInt64Array;

  constructor(memory: SharedArrayBuffer) {
    this.#counts = new Int32Array(memory, 0, 2);
    this.#clock = new BigInt64Array(memory, 8, 1);
  }

  /** Connections open now, over all workers. */
  get connections(): number {
    return Atomics.load(this.#counts, CONNECTIONS);
  }

  /** Most connections at once, over all workers. */
  get peak(): number {
    return Atomics.load(this.#counts, PEAK);
  }

  /** Takes a place; false when `maximum` are taken. Each true needs one release(). */
  acquire(maximum: number): boolean {
    const before = Atomics.add(this.#counts, CONNECTIONS, 1);
    if (before < maximum) {
      this.#raisePeak(before + 1);
      return true;
    }
    Atomics.sub(this.#counts, CONNECTIONS, 1);
    return false;
  }

  #raisePeak(to: number): void {
    for (let peak = this.peak; to > peak; ) {
      const found = Atomics.compareExchange(this.#counts, PEAK, peak, to);
      if (found === peak) return;
      peak = found;
    }
  }

  /** Gives `count` places back (more than one when a worker died). */
  release(count = 1): void {
    Atomics.sub(this.#counts, CONNECTIONS, count);
  }

  /**
   * Takes one token of a bucket that fills with `perSecond` and holds one second's worth.
   * Generic cell rate algorithm: one 64-bit word is the time at which the bucket will be full again.
   * @param nowUs microseconds of a clock shared by all threads (process.hrtime)
   */
  takeToken(perSecond: number, nowUs: bigint): boolean {
    const cost = SECOND_US / BigInt(perSecond);
    for (;;) {
      const full = Atomics.load(this.#clock, 0);
      const next = (full > nowUs ? full : nowUs) + cost;
      if (next - nowUs > SECOND_US) return false;
      if (Atomics.compareExchange(this.#clock, 0, full, next) === full) return true;
    }
  }
}

/** Limits that are exact over all workers of an endpoint: a connection count, a token bucket and refusal counts, in shared memory. */

const CONNECTIONS = 0;
const PEAK = 1;
const UNLOGGED = 2;
const BUCKET = 0;
const TOLD_AT = 1;
const HELD = 2;
const COUNTS = 8;
const CLOCKS = 3;
const BYTES = COUNTS * 4 + CLOCKS * 8;

/** Reasons of a refusal; the order is the layout. */
const REFUSALS = ['connection_limit', 'connection_rate', 'session_limit', 'address_limit', 'address_rate'] as const;
export type LimitRefusal = (typeof REFUSALS)[number];

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
    this.#counts = new Int32Array(memory, 0, COUNTS);
    this.#clock = new BigInt64Array(memory, COUNTS * 4, CLOCKS);
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

  /** Returns `count` places: several when a worker died, with the bytes that its clients held. */
  release(count = 1, heldBytes = 0): void {
    Atomics.sub(this.#counts, CONNECTIONS, count);
    if (heldBytes > 0) this.addHeld(-heldBytes);
  }

  /**
   * Takes one token of a bucket that fills with `perSecond` and holds one second's worth.
   * Generic cell rate algorithm: one 64-bit word is the time at which the bucket will be full again.
   * @param nowUs microseconds of a clock shared by all threads (process.hrtime)
   */
  takeToken(perSecond: number, nowUs: bigint): boolean {
    const cost = SECOND_US / BigInt(perSecond);
    for (;;) {
      const full = Atomics.load(this.#clock, BUCKET);
      const next = (full > nowUs ? full : nowUs) + cost;
      if (next - nowUs > SECOND_US) return false;
      if (Atomics.compareExchange(this.#clock, BUCKET, full, next) === full) return true;
    }
  }

  /** Bytes that the clients of all workers hold. */
  get heldBytes(): number {
    return Number(Atomics.load(this.#clock, HELD));
  }

  /** Changes the number of bytes; negative for less. */
  addHeld(bytes: number): void {
    Atomics.add(this.#clock, HELD, BigInt(Math.round(bytes)));
  }

  /** Counts a refusal for the log. */
  noteRefusal(refusal: LimitRefusal): void {
    Atomics.add(this.#counts, UNLOGGED + REFUSALS.indexOf(refusal), 1);
  }

  /**
   * Refusals of all workers since the last call that returned some; null when there were none, or that call was less than a second ago.
   * @param nowUs as for takeToken()
   */
  takeUnlogged(nowUs: bigint): Record<LimitRefusal, number> | null {
    if (REFUSALS.every((_, index) => Atomics.load(this.#counts, UNLOGGED + index) === 0)) return null;
    const toldAt = Atomics.load(this.#clock, TOLD_AT);
    if (nowUs - toldAt < SECOND_US) return null;
    if (Atomics.compareExchange(this.#clock, TOLD_AT, toldAt, nowUs) !== toldAt) return null;
    const take = (index: number) => Atomics.exchange(this.#counts, UNLOGGED + index, 0);
    return { connection_limit: take(0), connection_rate: take(1), session_limit: take(2), address_limit: take(3), address_rate: take(4) };
  }
}

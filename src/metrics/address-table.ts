/**
 * Connections by address at an endpoint, and their rate: exact over all its workers, in shared memory, without a lock. The table is
 * bounded: an address without a slot counts for the limits of the endpoint alone.
 */

/** Addresses with a slot. The system provides memory for used slots only. */
const SLOTS = 65_536;
/** An address may use any of this many neighbouring slots. */
const WAYS = 8;
const SETS = SLOTS / WAYS;
/** The count of a slot while the slot passes to another address. */
const CHANGING = -(2 ** 30);
/** A passing slot is read this often, then skipped: the thread that passes it may have died. */
const PATIENCE = 1000;
const SECOND_US = 1_000_000n;
const SEED_BYTES = 8;
const TABLE_BYTES = SEED_BYTES + SLOTS * (8 + 8 + 4);

/** Why an address gets no place. */
export type AddressRefusal = 'address_limit' | 'address_rate';

/** The place of a connection that no address limit counts. */
export const NO_SLOT = -1;

export interface AddressLimits {
  /** connections at once */
  connections: number;
  /** new connections a second; a burst of one second's worth */
  perSecond: number;
}

/**
 * Zeroed memory that takes no room before it is used. V8 maps a growable buffer, but allocates and clears a fixed one, which would cost the
 * thread a millisecond for each endpoint.
 */
function mapped(bytes: number): SharedArrayBuffer {
  return new SharedArrayBuffer(bytes, { maxByteLength: bytes });
}

/** A block for one endpoint. */
export function createAddressTable(): SharedArrayBuffer {
  const memory = mapped(TABLE_BYTES);
  // A random seed spreads the addresses: otherwise an attacker could choose addresses that share the slots of a victim, and fill them.
  new Uint8Array(memory).set(crypto.getRandomValues(new Uint8Array(SEED_BYTES)));
  return memory;
}

/** Places of one worker, by slot. The worker alone writes them; main returns the places of a dead worker. */
export function createAddressPlaces(): SharedArrayBuffer {
  return mapped(SLOTS * 4);
}

/** View of one endpoint's block. */
export class AddressTable {
  readonly #seed: Uint32Array;
  readonly #keys: BigUint64Array;
  /** microseconds at which the bucket of the slot is full again */
  readonly #clocks: BigInt64Array;
  readonly #counts: Int32Array;
  readonly #places: Int32Array | null;

  /** @param places the block of this worker; null: this thread takes no places */
  constructor(memory: SharedArrayBuffer, places: SharedArrayBuffer | null) {
    this.#seed = new Uint32Array(memory, 0, 2);
    this.#keys = new BigUint64Array(memory, SEED_BYTES, SLOTS);
    this.#clocks = new BigInt64Array(memory, SEED_BYTES + SLOTS * 8, SLOTS);
    this.#counts = new Int32Array(memory, SEED_BYTES + SLOTS * 16, SLOTS);
    this.#places = places === null ? null : new Int32Array(places);
  }

  /**
   * Takes a place for an address.
   * @param key of addressKey(), not 0
   * @param nowUs microseconds of a clock that all threads share
   * @returns the slot, for release(); NO_SLOT when the table is full and no limit counts the address; or the reason of a refusal
   */
  take(key: bigint, limits: AddressLimits, nowUs: bigint): number | AddressRefusal {
    const slot = this.#hold(key, nowUs);
    if (slot === NO_SLOT) return NO_SLOT;
    const refusal =
      Atomics.load(this.#counts, slot) > limits.connections
        ? 'address_limit'
        : this.#takeToken(slot, limits.perSecond, nowUs)
          ? null
          : 'address_rate';
    if (refusal !== null) {
      Atomics.sub(this.#counts, slot, 1);
      return refusal;
    }
    if (this.#places !== null) this.#places[slot]!++;
    return slot;
  }

  /** Returns a place. @param slot the result of take() */
  release(slot: number): void {
    if (slot === NO_SLOT) return;
    Atomics.sub(this.#counts, slot, 1);
    if (this.#places !== null) this.#places[slot]!--;
  }

  /** Returns the places of a dead worker. */
  releaseAll(places: SharedArrayBuffer): void {
    const held = new Int32Array(places);
    for (let slot = 0; slot < SLOTS; slot++) if (held[slot]! > 0) Atomics.sub(this.#counts, slot, held[slot]!);
  }

  /** Connections of an address now. */
  countOf(key: bigint): number {
    const slot = this.#find(key);
    return slot === NO_SLOT ? 0 : Math.max(0, Atomics.load(this.#counts, slot));
  }

  /** The slot of the address, its count raised by one; NO_SLOT when none is free. */
  #hold(key: bigint, nowUs: bigint): number {
    for (let tries = 0; tries < PATIENCE; tries++) {
      const slot = this.#find(key);
      if (slot === NO_SLOT) return this.#claim(key, nowUs);
      const before = Atomics.load(this.#counts, slot);
      if (before < 0 || Atomics.compareExchange(this.#counts, slot, before, before + 1) !== before) continue;
      if (Atomics.load(this.#keys, slot) === key) return slot;
      // Another thread gave the slot to another address between the two readings.
      Atomics.sub(this.#counts, slot, 1);
    }
    return NO_SLOT;
  }

  #find(key: bigint): number {
    const first = this.#firstOf(key);
    for (let slot = first; slot < first + WAYS; slot++) if (Atomics.load(this.#keys, slot) === key) return slot;
    return NO_SLOT;
  }

  /** Gives the address the first free slot of its set: no connections, and a full bucket. */
  #claim(key: bigint, nowUs: bigint): number {
    const first = this.#firstOf(key);
    for (let slot = first; slot < first + WAYS; slot++) {
      for (let tries = 0; Atomics.load(this.#counts, slot) < 0 && tries < PATIENCE; tries++);
      if (Atomics.load(this.#keys, slot) === key) return this.#hold(key, nowUs);
      if (Atomics.load(this.#clocks, slot) > nowUs) continue;
      if (Atomics.compareExchange(this.#counts, slot, 0, CHANGING) !== 0) continue;
      Atomics.store(this.#clocks, slot, 0n);
      Atomics.store(this.#keys, slot, key);
      Atomics.store(this.#counts, slot, 1);
      return slot;
    }
    return NO_SLOT;
  }

  /** Generic cell rate algorithm, as for the whole endpoint (shared-limits.ts). */
  #takeToken(slot: number, perSecond: number, nowUs: bigint): boolean {
    const cost = SECOND_US / BigInt(perSecond);
    for (;;) {
      const full = Atomics.load(this.#clocks, slot);
      const next = (full > nowUs ? full : nowUs) + cost;
      if (next - nowUs > SECOND_US) return false;
      if (Atomics.compareExchange(this.#clocks, slot, full, next) === full) return true;
    }
  }

  #firstOf(key: bigint): number {
    let hash = Number(BigInt.asUintN(32, key)) ^ this.#seed[0]!;
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b) ^ Number(BigInt.asUintN(32, key >> 32n)) ^ this.#seed[1]!;
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
    return (((hash ^ (hash >>> 16)) >>> 0) % SETS) * WAYS;
  }
}

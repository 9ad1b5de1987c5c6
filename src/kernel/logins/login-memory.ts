/** Failed logins in memory that all threads of a node share. The memory is bounded: the oldest entry is evicted. */

import { createHash, randomBytes } from 'node:crypto';
import { steadyNow } from '../clock.ts';

const SECRET_BYTES = 32;
/** Sets of a memory, by default. */
const SETS = 1024;
/** Places that a key may have: a full set evicts the entry that is due first. */
const WAYS = 8;
const SLOT_BYTES = BigInt64Array.BYTES_PER_ELEMENT;

/** Zeroed memory with a secret: its contents reveal nothing about a password. @param sets a power of two; each has 8 keys */
export function createLoginMemory(sets = SETS): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(SECRET_BYTES + 3 * sets * WAYS * SLOT_BYTES);
  new Uint8Array(memory, 0, SECRET_BYTES).set(randomBytes(SECRET_BYTES));
  return memory;
}

/**
 * Leaky buckets and a set of wrong credentials, by keys of 64 bits. One word holds a bucket: the moment at which the bucket is empty again.
 * Two threads that use one slot for two keys at the same moment lose one of the keys: a failure is forgotten, and no login is refused.
 */
export class LoginMemory {
  readonly #secret: Buffer;
  readonly #tags: BigInt64Array;
  /** by slot of the tag: the bucket, in milliseconds */
  readonly #due: BigInt64Array;
  readonly #wrong: BigInt64Array;
  readonly #now: () => number;
  readonly #sets: number;

  /** @param now milliseconds of a clock that all threads share */
  constructor(memory: SharedArrayBuffer, now: () => number = steadyNow) {
    this.#secret = Buffer.from(new Uint8Array(memory, 0, SECRET_BYTES));
    const slots = (memory.byteLength - SECRET_BYTES) / (3 * SLOT_BYTES);
    this.#sets = slots / WAYS;
    const words = (index: number): BigInt64Array => new BigInt64Array(memory, SECRET_BYTES + index * slots * SLOT_BYTES, slots);
    this.#tags = words(0);
    this.#due = words(1);
    this.#wrong = words(2);
    this.#now = now;
  }

  /** The key of a list of words; never 0. */
  key(...words: (string | Uint8Array)[]): bigint {
    const hash = createHash('sha256').update(this.#secret);
    for (const word of words) hash.update(`${word.length}:`).update(word);
    return hash.digest().readBigInt64BE(0) | 1n;
  }

  /** Takes one of the `burst` places of a bucket; one place comes back each `everyMs`. Returns false when none is free. */
  take(key: bigint, everyMs: number, burst: number): boolean {
    const now = BigInt(Math.floor(this.#now()));
    const slot = this.#slotFor(key);
    for (;;) {
      const due = Atomics.load(this.#due, slot);
      const from = due > now ? due : now;
      if (from - now > BigInt(everyMs * (burst - 1))) return false;
      if (Atomics.compareExchange(this.#due, slot, due, from + BigInt(everyMs)) === due) return true;
    }
  }

  /** Returns a place. */
  give(key: bigint, everyMs: number): void {
    const slot = this.#find(key);
    if (slot >= 0) Atomics.sub(this.#due, slot, BigInt(everyMs));
  }

  /** Adds 1 to a bucket, up to `max`. @returns the level of the bucket */
  add(key: bigint, everyMs: number, max: number): number {
    if (!this.take(key, everyMs, max)) return max;
    return this.level(key, everyMs);
  }

  /** The level of a bucket. */
  level(key: bigint, everyMs: number): number {
    const slot = this.#find(key);
    if (slot < 0) return 0;
    return Math.max(0, Math.ceil((Number(Atomics.load(this.#due, slot)) - this.#now()) / everyMs));
  }

  /** Remembers wrong credentials. */
  noteWrong(credentials: bigint): void {
    const first = this.#firstOf(credentials);
    const free = this.#wrong.subarray(first, first + WAYS).indexOf(0n);
    // Else any slot will do: the key is as good as random.
    Atomics.store(this.#wrong, first + (free >= 0 ? free : Number(credentials & 7n)), credentials);
  }

  isWrong(credentials: bigint): boolean {
    const first = this.#firstOf(credentials);
    for (let slot = first; slot < first + WAYS; slot++) if (Atomics.load(this.#wrong, slot) === credentials) return true;
    return false;
  }

  #find(key: bigint): number {
    const first = this.#firstOf(key);
    for (let slot = first; slot < first + WAYS; slot++) if (Atomics.load(this.#tags, slot) === key) return slot;
    return -1;
  }

  #slotFor(key: bigint): number {
    const known = this.#find(key);
    if (known >= 0) return known;
    const first = this.#firstOf(key);
    let oldest = first;
    for (let slot = first + 1; slot < first + WAYS; slot++) if (this.#due[slot]! < this.#due[oldest]!) oldest = slot;
    Atomics.store(this.#due, oldest, 0n);
    Atomics.store(this.#tags, oldest, key);
    return oldest;
  }

  #firstOf(key: bigint): number {
    return Number((key >> 16n) & BigInt(this.#sets - 1)) * WAYS;
  }
}

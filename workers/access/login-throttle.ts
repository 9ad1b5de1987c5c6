/** Slows down who guesses passwords: per address, a growing delay of failures and a limit of checks at once (SPEC.md section 6). */

import { isIPv4 } from 'node:net';
import { steadyNow } from '../../src/kernel/clock.ts';

const DELAY_FIRST_MS = 100;
const DELAY_MAX_MS = 2000;
/** An address without a failure for so long starts anew. */
const FORGET_AFTER_MS = 60_000;
/** From so many failures on, an address may have no more than CHECKS_AT_ONCE logins under way; each failure takes DELAY_MAX_MS by then. */
const SUSPECT_AFTER = 10;
const CHECKS_AT_ONCE = 8;
const ADDRESSES_MAX = 10_000;

interface Entry {
  failures: number;
  lastFailureAt: number;
  underWay: number;
}

/** One per worker. Times are milliseconds of one monotonic clock. */
export class LoginThrottle {
  /** least recently touched first */
  readonly #entries = new Map<string, Entry>();
  readonly #now: () => number;

  constructor(now: () => number = steadyNow) {
    this.#now = now;
  }

  /** Takes a place for one login. False when the address has failed often and its places are taken: the login is not to be checked now. */
  begin(address: string): boolean {
    const key = toKey(address);
    const entry = this.#current(key);
    if (entry === undefined) this.#put(key, { failures: 0, lastFailureAt: this.#now(), underWay: 1 });
    else if (entry.failures >= SUSPECT_AFTER && entry.underWay >= CHECKS_AT_ONCE) return false;
    else entry.underWay += 1;
    return true;
  }

  /** Notes a failure of a login that has begun. Returns for how many milliseconds the answer is to wait: 100, 200, … 2000. */
  fail(address: string): number {
    const key = toKey(address);
    const entry = this.#current(key) ?? { failures: 0, lastFailureAt: 0, underWay: 1 };
    entry.failures += 1;
    entry.lastFailureAt = this.#now();
    this.#put(key, entry);
    return Math.min(DELAY_MAX_MS, DELAY_FIRST_MS * 2 ** Math.min(entry.failures - 1, 10));
  }

  /** Gives the place back, after the answer. */
  end(address: string): void {
    const key = toKey(address);
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    entry.underWay = Math.max(0, entry.underWay - 1);
    if (entry.underWay === 0 && entry.failures === 0) this.#entries.delete(key);
  }

  /** Addresses remembered; never more than 10,000. */
  get size(): number {
    return this.#entries.size;
  }

  #current(key: string): Entry | undefined {
    const entry = this.#entries.get(key);
    if (entry !== undefined && this.#now() - entry.lastFailureAt >= FORGET_AFTER_MS) entry.failures = 0;
    return entry;
  }

  #put(key: string, entry: Entry): void {
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    if (this.#entries.size <= ADDRESSES_MAX) return;
    const [oldest] = this.#entries.keys();
    if (oldest !== undefined) this.#entries.delete(oldest);
  }
}

/** An IPv6 client owns its whole /64: that is the unit which is slowed down. */
function toKey(address: string): string {
  const plain = toPlainAddress(address);
  if (!plain.includes(':')) return plain;
  const [head = '', tail] = plain.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - left.length - right.length);
  return [...left, ...Array<string>(zeros).fill('0'), ...right].slice(0, 4).join(':');
}

/** `::ffff:10.0.0.1`, as a dual-stack socket names an IPv4 peer, → `10.0.0.1`. */
export function toPlainAddress(address: string): string {
  const mapped = /^::ffff:(.+)$/i.exec(address)?.[1];
  return mapped !== undefined && isIPv4(mapped) ? mapped : address;
}

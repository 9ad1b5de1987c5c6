/** Latencies in buckets of 1.6 % width, from 1 microsecond to over an hour; one sample costs one increment. */

const SUB_BITS = 6;
const SUB = 1 << SUB_BITS;

export class Latencies {
  readonly #counts = new Uint32Array(32 * SUB);
  #total = 0;
  #max = 0;

  add(micros: number): void {
    const value = micros < 1 ? 1 : micros;
    const exponent = 31 - Math.clz32(value);
    const shift = exponent > SUB_BITS ? exponent - SUB_BITS : 0;
    // The exponent gives the highest bit; the six bits below it choose the bucket.
    this.#counts[exponent * SUB + ((value >>> shift) & (SUB - 1))]!++;
    this.#total++;
    if (value > this.#max) this.#max = value;
  }

  clear(): void {
    this.#counts.fill(0);
    this.#total = 0;
    this.#max = 0;
  }

  /** Microseconds; null without samples. */
  summary(): { p50: number; p99: number; p999: number; max: number } | null {
    if (this.#total === 0) return null;
    return { p50: this.#quantile(0.5), p99: this.#quantile(0.99), p999: this.#quantile(0.999), max: this.#max };
  }

  #quantile(share: number): number {
    let left = Math.ceil(this.#total * share);
    for (let i = 0; i < this.#counts.length; i++) {
      left -= this.#counts[i]!;
      if (left > 0) continue;
      const exponent = Math.floor(i / SUB);
      const rest = i % SUB;
      return exponent >= SUB_BITS ? ((SUB | rest) << (exponent - SUB_BITS)) >>> 0 : rest;
    }
    return this.#max;
  }
}

/** Where bytes that outlive a read are kept: many small reads share one buffer, so that a read costs no allocation. */

/** Small, because one message that is kept for long keeps all of it. */
const SLAB_BYTES = 16 * 1024;
/** A read from this size on gets a buffer of its own. */
const LARGE_BYTES = 4 * 1024;

/** One per worker: bytes once written are never written again; a slab is free when nobody refers to it any more. */
class Arena {
  #slab: Buffer = Buffer.alloc(0);
  #used = 0;
  /** where the last kept bytes stand, from the offset that keep() returned */
  buf: Buffer = this.#slab;

  /** Copies source[start, end) and returns at which offset of `buf` it is. */
  keep(source: Buffer, start: number, end: number): number {
    const length = end - start;
    if (length >= LARGE_BYTES) {
      this.buf = Buffer.allocUnsafeSlow(length);
      source.copy(this.buf, 0, start, end);
      return 0;
    }
    let at = this.#used;
    if (at + length > this.#slab.length) {
      this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
      at = 0;
    }
    this.buf = this.#slab;
    // A call costs more than a few bytes.
    if (length <= 32) for (let i = 0; i < length; i++) this.buf[at + i] = source[start + i]!;
    else source.copy(this.buf, at, start, end);
    this.#used = at + length;
    return at;
  }
}

export const arena: Arena = new Arena();

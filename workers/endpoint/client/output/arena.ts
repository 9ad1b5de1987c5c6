/** Keeps bytes that outlive a read. Reads share buffers; a buffer is used again as soon as nothing refers to it. */

/** Small on purpose: one message that is kept for long keeps the whole buffer alive. */
const SMALL_BYTES = 16 * 1024;
/** A read of this size or more goes into a larger buffer; a read larger than LARGE_BYTES gets a buffer of its own. */
const LARGE_READ_BYTES = 4 * 1024;
const LARGE_BYTES = 64 * 1024;
/** Larger buffers than this are never reused. */
const REUSED_BYTES_MAX = 1024 * 1024;
/** Sizes of reusable buffers are multiples of this. */
const STEP_BYTES = 16 * 1024;
/** Bytes of free buffers that are kept for reuse. */
const FREE_BYTES_MAX = 8 * 1024 * 1024;

/** A buffer that is filled from its beginning and emptied as a whole. */
export class Slab {
  readonly buf: Buffer;
  /** The slab came from the arena and returns there. */
  readonly isReused: boolean;
  used = 0;
  /** Something may refer to the bytes after this loop iteration, so they are never overwritten. */
  isPinned = false;

  constructor(bytes: number, isReused: boolean) {
    this.buf = Buffer.allocUnsafeSlow(bytes);
    this.isReused = isReused;
  }
}

/**
 * One per worker. The bytes of a QoS 0 message are free when the output of its loop iteration has been sent; `recycle` then reuses them.
 * Code that keeps a reference for longer must `pin` the buffer first. Pinned bytes are never overwritten; the garbage collector frees them.
 */
class Arena {
  #small = new Slab(SMALL_BYTES, true);
  #large: Slab | null = null;
  /** slabs that are full or no longer written, and not recycled yet */
  #retired: Slab[] = [];
  /** bytes of #retired */
  retiredBytes = 0;
  /** size → free slabs */
  readonly #free = new Map<number, Slab[]>();
  #freeBytes = 0;
  #isScheduled = false;
  /** outputs that are not flushed yet and refer to slabs */
  waiting = 0;
  /** buffer of the last kept bytes; keep() returns their offset in it */
  buf: Buffer = this.#small.buf;

  /** Copies source[start, end). @returns the offset in `buf` */
  keep(source: Buffer, start: number, end: number): number {
    const length = end - start;
    const slab = length < LARGE_READ_BYTES ? this.#smallFor(length) : length <= LARGE_BYTES ? this.#largeFor(length) : this.#own(length);
    const at = slab.used;
    slab.used = at + length;
    this.buf = slab.buf;
    // The call of copy() costs more than a few bytes.
    if (length <= 32) for (let i = 0; i < length; i++) slab.buf[at + i] = source[start + i]!;
    else source.copy(slab.buf, at, start, end);
    return at;
  }

  #smallFor(length: number): Slab {
    if (this.#small.used + length > SMALL_BYTES) {
      this.retire(this.#small);
      this.#small = this.take(SMALL_BYTES);
    }
    return this.#small;
  }

  #largeFor(length: number): Slab {
    let slab = this.#large;
    if (slab === null || slab.used + length > slab.buf.length) {
      if (slab !== null) this.retire(slab);
      slab = this.take(LARGE_BYTES);
      this.#large = slab;
    }
    return slab;
  }

  /** A slab for one read alone. It is retired at once, so that pin() finds it. */
  #own(length: number): Slab {
    const slab = this.take(length);
    this.retire(slab);
    return slab;
  }

  /** An empty slab of at least `bytes` bytes, which belongs to the caller until retire(). */
  take(bytes: number): Slab {
    if (bytes > REUSED_BYTES_MAX) return new Slab(bytes, false);
    const size = Math.ceil(bytes / STEP_BYTES) * STEP_BYTES;
    const slab = this.#free.get(size)?.pop();
    if (slab === undefined) return new Slab(size, true);
    this.#freeBytes -= size;
    return slab;
  }

  /** Ends the caller's use of the slab; others may still refer to its bytes. */
  retire(slab: Slab): void {
    if (slab.isPinned || !slab.isReused) return;
    this.#retired.push(slab);
    this.retiredBytes += slab.buf.length;
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.recycle();
    });
  }

  /** Protects the bytes of `buf`, because something refers to them after this loop iteration. */
  pin(buf: Buffer): void {
    if (this.#small.buf === buf) this.#small.isPinned = true;
    else if (this.#large?.buf === buf) this.#large.isPinned = true;
    else for (const slab of this.#retired) if (slab.buf === buf) slab.isPinned = true;
  }

  /**
   * Frees the bytes that are not pinned at the end of a loop iteration, unless an output is not flushed yet. Must not run while input is
   * read.
   */
  recycle(): void {
    if (this.waiting > 0) return;
    if (!this.#small.isPinned) this.#small.used = 0;
    if (this.#large !== null && !this.#large.isPinned) this.#large.used = 0;
    if (this.#retired.length === 0) return;
    for (const slab of this.#retired) if (!slab.isPinned) this.#giveBack(slab);
    this.#retired = [];
    this.retiredBytes = 0;
  }

  #giveBack(slab: Slab): void {
    const size = slab.buf.length;
    if (this.#freeBytes + size > FREE_BYTES_MAX) return;
    const free = this.#free.get(size) ?? [];
    this.#free.set(size, free);
    this.#freeBytes += size;
    slab.used = 0;
    free.push(slab);
  }

  /** The free bytes that are written next. Tests overwrite them to find dangling references. */
  unused(): Buffer[] {
    const unused = [this.#small, ...(this.#large === null ? [] : [this.#large])].map((slab) => slab.buf.subarray(slab.used));
    for (const slabs of this.#free.values()) unused.push(...slabs.map((slab) => slab.buf));
    return unused;
  }
}

export const arena: Arena = new Arena();

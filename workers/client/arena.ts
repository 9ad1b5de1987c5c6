/** Where bytes that outlive a read are kept: reads share buffers, which are used again as soon as nobody refers to them any more. */

/** Small, because one message that is kept for long keeps all of it. */
const SMALL_BYTES = 16 * 1024;
/** A read from this size on stands in a larger buffer, and one that is larger than that in a buffer of its own. */
const LARGE_READ_BYTES = 4 * 1024;
const LARGE_BYTES = 64 * 1024;
/** The largest buffer that is used again. */
const REUSED_BYTES_MAX = 1024 * 1024;
/** Sizes of buffers are multiples of this. */
const STEP_BYTES = 16 * 1024;
/** Bytes that may wait for their next use. */
const FREE_BYTES_MAX = 8 * 1024 * 1024;

/** A buffer that is filled from its beginning, and emptied as a whole. */
export class Slab {
  readonly buf: Buffer;
  /** It came from the arena and goes back there. */
  readonly isReused: boolean;
  used = 0;
  /** Somebody may refer to its bytes for longer than this loop iteration: nobody writes there again. */
  isPinned = false;

  constructor(bytes: number, isReused: boolean) {
    this.buf = Buffer.allocUnsafeSlow(bytes);
    this.isReused = isReused;
  }
}

/**
 * One per worker. QoS 0 that passes through is gone when the output of the loop iteration is, and its bytes are free then: `recycle`.
 * Whoever keeps a reference for longer says so before: `pin`. Pinned bytes are never written again; the garbage collector has them.
 */
class Arena {
  #small = new Slab(SMALL_BYTES, true);
  #large: Slab | null = null;
  /** full, or done with, and not recycled yet */
  #retired: Slab[] = [];
  /** of these */
  retiredBytes = 0;
  /** size → slabs that nobody refers to */
  readonly #free = new Map<number, Slab[]>();
  #freeBytes = 0;
  #isScheduled = false;
  /** outputs that have not been flushed: they refer to slabs */
  waiting = 0;
  /** where the last kept bytes stand, from the offset that keep() returned */
  buf: Buffer = this.#small.buf;

  /** Copies source[start, end) and returns at which offset of `buf` it is. */
  keep(source: Buffer, start: number, end: number): number {
    const length = end - start;
    const slab = length < LARGE_READ_BYTES ? this.#smallFor(length) : length <= LARGE_BYTES ? this.#largeFor(length) : this.#own(length);
    const at = slab.used;
    slab.used = at + length;
    this.buf = slab.buf;
    // A call costs more than a few bytes.
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

  /** For one read alone; retired at once, so that whoever keeps its bytes can pin it. */
  #own(length: number): Slab {
    const slab = this.take(length);
    this.retire(slab);
    return slab;
  }

  /** An empty slab of at least so many bytes, the caller's own until retire(). */
  take(bytes: number): Slab {
    if (bytes > REUSED_BYTES_MAX) return new Slab(bytes, false);
    const size = Math.ceil(bytes / STEP_BYTES) * STEP_BYTES;
    const slab = this.#free.get(size)?.pop();
    if (slab === undefined) return new Slab(size, true);
    this.#freeBytes -= size;
    return slab;
  }

  /** The owner will not touch the slab again; others may still refer to it. */
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

  /** Somebody keeps bytes of `buf` for longer than this loop iteration. */
  pin(buf: Buffer): void {
    if (this.#small.buf === buf) this.#small.isPinned = true;
    else if (this.#large?.buf === buf) this.#large.isPinned = true;
    else for (const slab of this.#retired) if (slab.buf === buf) slab.isPinned = true;
  }

  /** The loop iteration is over: what nobody has pinned is free, unless an output has not been flushed. Never to be called while input is read. */
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

  /** The bytes to which nobody refers, to be written next: tests write something else there. */
  unused(): Buffer[] {
    const unused = [this.#small, ...(this.#large === null ? [] : [this.#large])].map((slab) => slab.buf.subarray(slab.used));
    for (const slabs of this.#free.values()) unused.push(...slabs.map((slab) => slab.buf));
    return unused;
  }
}

export const arena: Arena = new Arena();

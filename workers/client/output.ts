/** Coalesced output: everything that becomes writable in one loop iteration leaves in one write per connection. */

import type { Connection } from '../connection.ts';
import { arena } from './arena.ts';

/** From here on a system call is cheaper than a copy. */
const LARGE_BYTES = 16 * 1024;
const POOLED_BYTES = 16 * 1024;
const POOL_MAX = 256;
const pool: Buffer[] = [];

/** Buffers are per worker; allocUnsafeSlow, because a slice of node's own pool would pin it. */
function takeBuffer(bytes: number): Buffer {
  if (bytes <= POOLED_BYTES) return pool.pop() ?? Buffer.allocUnsafeSlow(POOLED_BYTES);
  return Buffer.allocUnsafeSlow(bytes);
}

function giveBuffer(buffer: Buffer): void {
  if (buffer.length === POOLED_BYTES && pool.length < POOL_MAX) pool.push(buffer);
}

/** Connections with output of this loop iteration; flushed in the check phase, after all sockets of this poll were read. */
let dirty: Output[] = [];
let scheduled = false;

function flushAll(): void {
  scheduled = false;
  const list = dirty;
  dirty = [];
  for (let i = 0; i < list.length; i++) list[i]!.flush();
  arena.waiting -= list.length;
  arena.recycle();
}

/**
 * Output of one connection. Holds either one slice of a shared buffer (fan-out: no copy at all) or an own pooled buffer,
 * into which the slice is copied when a second, non-adjacent range comes.
 */
export class Output {
  #connection: Connection | null;
  #slice: Buffer | null = null;
  #start = 0;
  #end = 0;
  /** own buffer; valid after reserve() until the next flush */
  own: Buffer | null = null;
  #length = 0;
  #isDirty = false;
  /** bytes the transport holds and could not send yet */
  #inTransport: Buffer | null = null;
  #ending = false;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Bytes not yet taken by the kernel: the measure of a slow reader. */
  get pendingBytes(): number {
    return this.#end - this.#start + this.#length + (this.#inTransport === null ? 0 : this.#inTransport.length);
  }

  /** True while the kernel does not take what was sent. */
  get isBlocked(): boolean {
    return this.#inTransport !== null;
  }

  /** Appends buf[start, end) without copying where possible; the range must not change any more. */
  append(buf: Buffer, start: number, end: number): void {
    if (this.own === null) {
      if (this.#slice === null) {
        this.#slice = buf;
        this.#start = start;
        this.#end = end;
        // It stays until the transport has sent what it holds.
        if (this.#inTransport !== null) arena.pin(buf);
        if (!this.#isDirty) this.#mark();
        return;
      }
      if (this.#slice === buf && this.#end === start) {
        this.#end = end;
        return;
      }
    }
    if (this.#inTransport === null && (end - start >= LARGE_BYTES || this.#end - this.#start + this.#length >= LARGE_BYTES)) {
      this.#send();
      if (this.#inTransport === null && this.#connection !== null) {
        this.#slice = buf;
        this.#start = start;
        this.#end = end;
        if (!this.#isDirty) this.#mark();
        return;
      }
    }
    const at = this.reserve(end - start);
    buf.copy(this.own!, at, start, end);
  }

  /** Makes room for `bytes` in the own buffer and returns where to write them: `out.own`. */
  reserve(bytes: number): number {
    const slice = this.#slice;
    if (slice !== null) {
      const size = this.#end - this.#start;
      this.own = takeBuffer(size + bytes);
      slice.copy(this.own, 0, this.#start, this.#end);
      this.#slice = null;
      this.#start = this.#end = 0;
      this.#length = size;
    } else if (this.own === null) {
      this.own = takeBuffer(bytes);
    }
    const at = this.#length;
    if (at + bytes > this.own!.length) this.#grow(at + bytes);
    this.#length = at + bytes;
    if (!this.#isDirty) this.#mark();
    return at;
  }

  #grow(bytes: number): void {
    const old = this.own!;
    const bigger = Buffer.allocUnsafeSlow(Math.max(bytes, old.length * 2));
    old.copy(bigger, 0, 0, this.#length);
    giveBuffer(old);
    this.own = bigger;
  }

  #mark(): void {
    this.#isDirty = true;
    dirty.push(this);
    arena.waiting++;
    if (!scheduled) {
      scheduled = true;
      setImmediate(flushAll);
    }
  }

  /** Sends what is collected in one write; does nothing while the transport is blocked. */
  flush(): void {
    this.#isDirty = false;
    this.#send();
  }

  #send(): void {
    const connection = this.#connection;
    if (connection === null || this.#inTransport !== null) return;
    let bytes: Buffer;
    let owned: Buffer | null = null;
    const slice = this.#slice;
    if (slice !== null) {
      bytes = slice.subarray(this.#start, this.#end);
      this.#slice = null;
      this.#start = this.#end = 0;
    } else if (this.own !== null) {
      owned = this.own;
      bytes = owned.subarray(0, this.#length);
      this.own = null;
      this.#length = 0;
    } else {
      if (this.#ending) this.#finish();
      return;
    }
    if (connection.send(bytes)) {
      if (owned !== null) giveBuffer(owned);
      if (this.#ending) this.#finish();
    } else {
      this.#inTransport = bytes;
      if (slice !== null) arena.pin(slice);
    }
  }

  /** The transport has sent everything. */
  onDrain(): void {
    this.#inTransport = null;
    this.flush();
  }

  /** Closes the connection once everything collected has been handed to the kernel. */
  end(): void {
    if (this.#connection === null || this.#ending) return;
    this.#ending = true;
    if (this.#inTransport === null) this.flush();
    else this.#connection.end();
  }

  #finish(): void {
    const connection = this.#connection;
    this.#connection = null;
    connection?.end();
  }

  /** The connection is gone: forget everything. */
  discard(): void {
    this.#connection = null;
    this.#slice = null;
    this.#start = this.#end = 0;
    if (this.own !== null) giveBuffer(this.own);
    this.own = null;
    this.#length = 0;
    this.#inTransport = null;
  }
}

/** Coalesced output: everything written in one loop iteration leaves in one write per connection. */

import { flushPeers } from '../../../shared/mesh/peer-link.ts';
import type { Connection } from '../../connection/connection.ts';
import { arena } from './arena.ts';

/** A range of this size or more costs more to copy than a system call. */
const LARGE_BYTES = 16 * 1024;
const POOLED_BYTES = 16 * 1024;
const POOL_MAX = 256;
const pool: Buffer[] = [];

/** Buffers belong to the worker. allocUnsafeSlow, because a slice of Node's own pool would pin that pool. */
function takeBuffer(bytes: number): Buffer {
  if (bytes <= POOLED_BYTES) return pool.pop() ?? Buffer.allocUnsafeSlow(POOLED_BYTES);
  return Buffer.allocUnsafeSlow(bytes);
}

function giveBuffer(buffer: Buffer): void {
  if (buffer.length === POOLED_BYTES && pool.length < POOL_MAX) pool.push(buffer);
}

/** Connections with output of this loop iteration, flushed in the check phase, after all sockets of this poll have been read. */
let dirty: Output[] = [];
let scheduled = false;

function flushAll(): void {
  scheduled = false;
  flushDirty();
}

/** Sends all collected output of all connections. Neither a transport nor code that reads input may call it. */
export function flushDirty(): void {
  const list = dirty;
  dirty = [];
  for (let i = 0; i < list.length; i++) list[i]!.flush();
  arena.waiting -= list.length;
  arena.recycle();
}

/** The bytes of one send call. */
interface Piece {
  bytes: Buffer;
  /** the buffer of the bytes, which may be pooled; null when it is shared */
  owned: Buffer | null;
  /** the shared buffer; null when the buffer is owned */
  shared: Buffer | null;
}

/**
 * Output of one connection. Holds either one slice of a shared buffer (fan-out: no copy at all) or its own pooled buffer. A second,
 * non-adjacent range copies the slice into the own buffer. Large ranges that arrive while the transport is blocked are not copied either:
 * they wait in a queue, ahead of the slice or the own buffer.
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
  /** bytes that the transport holds and has not sent yet */
  #inTransport: Buffer | null = null;
  #queue: Piece[] | null = null;
  #queuedBytes = 0;
  #ending = false;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Bytes that the kernel has not taken: the measure of a slow reader. */
  get pendingBytes(): number {
    const held = this.#inTransport === null ? 0 : this.#inTransport.length;
    return this.#end - this.#start + this.#length + this.#queuedBytes + held;
  }

  /** True while the transport holds bytes that the kernel has not taken. */
  get isBlocked(): boolean {
    return this.#inTransport !== null;
  }

  /** Appends buf[start, end), without a copy when possible. The range must not change afterwards. */
  append(buf: Buffer, start: number, end: number): void {
    if (this.#inTransport !== null && end - start >= LARGE_BYTES) {
      this.#enqueue(buf, start, end);
      return;
    }
    if (this.own === null) {
      if (this.#slice === null) {
        this.#slice = buf;
        this.#start = start;
        this.#end = end;
        // The slice waits until the transport has sent its bytes.
        if (this.#inTransport !== null) arena.pin(buf);
        if (!this.#isDirty) this.#mark();
        return;
      }
      if (this.#slice === buf && this.#end === start) {
        this.#end = end;
        return;
      }
    }
    const isLarge = end - start >= LARGE_BYTES;
    if (this.#inTransport === null && (isLarge || this.#end - this.#start + this.#length >= LARGE_BYTES)) {
      this.#send();
      if (this.#inTransport === null && this.#connection !== null) {
        this.#slice = buf;
        this.#start = start;
        this.#end = end;
        if (!this.#isDirty) this.#mark();
        return;
      }
      if (this.#inTransport !== null && isLarge) {
        this.#enqueue(buf, start, end);
        return;
      }
    }
    const at = this.reserve(end - start);
    buf.copy(this.own!, at, start, end);
  }

  /** Queues a large range behind everything that was appended before. */
  #enqueue(buf: Buffer, start: number, end: number): void {
    const before = this.#takeCollected();
    this.#queue ??= [];
    if (before !== null) this.#queue.push(before);
    arena.pin(buf);
    this.#queue.push({ bytes: buf.subarray(start, end), owned: null, shared: buf });
    this.#queuedBytes += end - start + (before === null ? 0 : before.bytes.length);
  }

  /** Takes the slice or the own buffer and leaves it empty; null when there is neither. */
  #takeCollected(): Piece | null {
    const { own } = this;
    const slice = this.#slice;
    if (slice !== null) {
      const bytes = slice.subarray(this.#start, this.#end);
      this.#slice = null;
      this.#start = this.#end = 0;
      return { bytes, owned: null, shared: slice };
    }
    if (own === null) return null;
    const bytes = own.subarray(0, this.#length);
    this.own = null;
    this.#length = 0;
    return { bytes, owned: own, shared: null };
  }

  #takeQueued(): Piece | null {
    const piece = this.#queue?.shift() ?? null;
    if (piece === null) this.#queue = null;
    else this.#queuedBytes -= piece.bytes.length;
    return piece;
  }

  /** Makes room for `bytes` in the own buffer. @returns the offset in `out.own` where to write them */
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

  /** Sends the queue and then the collected bytes, the latter in one write; does nothing while the transport is blocked. */
  flush(): void {
    this.#isDirty = false;
    while (this.#queue !== null && this.#inTransport === null && this.#connection !== null) this.#sendPiece(this.#takeQueued());
    this.#send();
  }

  #send(): void {
    if (this.#connection === null || this.#inTransport !== null) return;
    this.#sendPiece(this.#takeCollected());
    if (this.#ending && this.#inTransport === null) this.#finish();
  }

  #sendPiece(piece: Piece | null): void {
    if (piece === null) return;
    const { bytes, owned, shared } = piece;
    // The bytes may acknowledge a message that a peer must get. The post comes first, so that the message reaches the peer after a crash here.
    flushPeers();
    if (!this.#connection!.send(bytes)) {
      this.#inTransport = bytes;
      if (shared !== null) arena.pin(shared);
    } else if (owned !== null) giveBuffer(owned);
  }

  /** The transport has sent everything. */
  onDrain(): void {
    this.#inTransport = null;
    this.flush();
  }

  /** Closes the connection once the kernel has taken all collected bytes. */
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

  /** Drops everything, because the connection is gone. */
  discard(): void {
    this.#connection = null;
    this.#slice = null;
    this.#start = this.#end = 0;
    if (this.own !== null) giveBuffer(this.own);
    this.own = null;
    this.#length = 0;
    this.#inTransport = null;
    this.#queue = null;
    this.#queuedBytes = 0;
  }
}

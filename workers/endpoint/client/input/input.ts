/** Joins packets that arrive in pieces. Packets that are complete inside a chunk never come here. */

import { ProtocolError } from '../../../../src/mqtt/errors.ts';
import { readRemainingLength, remainingLengthSize } from '../../../../src/mqtt/framer.ts';
import { REASON } from '../../../../src/mqtt/reason-codes.ts';
import { arena, Slab } from '../output/arena.ts';

/** First allocation for a packet. The client only claims its size: memory follows the bytes that really arrive. */
const FIRST_BYTES = 128 * 1024;
const HEADER_MAX = 5;
/** Packets of this size or more go into a reused buffer: fresh memory from the system costs more than the copy of the bytes. */
const LARGE_PACKET_BYTES = 16 * 1024;

/**
 * Size of the packet that begins at `at`, with its fixed header; -1 while the size is unknown.
 * @throws ProtocolError malformedPacket; packetTooLarge above `maximum` (checked right after the length)
 */
export function packetSize(buf: Buffer, at: number, end: number, maximum: number): number {
  if (end - at < 2) return -1;
  const remaining = readRemainingLength(buf, at + 1, end);
  if (remaining < 0) return -1;
  const size = 1 + remainingLengthSize(remaining) + remaining;
  if (size > maximum) throw new ProtocolError(REASON.packetTooLarge, `Packet of ${size} bytes is over the limit of ${maximum}`);
  return size;
}

/** The beginning of an incomplete packet. */
export class PartialPacket {
  #slab: Slab;
  #length: number;
  /** size of the whole packet, -1 while the length bytes are incomplete */
  #size: number;

  constructor(buf: Buffer, start: number, end: number, maximum: number) {
    this.#size = packetSize(buf, start, end, maximum);
    this.#length = end - start;
    this.#slab = this.#size < 0 ? new Slab(HEADER_MAX, false) : slabFor(Math.max(this.#length, Math.min(this.#size, FIRST_BYTES)));
    buf.copy(this.#slab.buf, 0, start, end);
  }

  /** Takes the missing bytes of the packet from buf[start, end). @returns the end of the taken bytes */
  take(buf: Buffer, start: number, end: number, maximum: number): number {
    while (this.#size < 0 && start < end) {
      this.#slab.buf[this.#length++] = buf[start++]!;
      this.#size = packetSize(this.#slab.buf, 0, this.#length, maximum);
    }
    if (this.#size < 0) return start;
    const taken = Math.min(this.#size - this.#length, end - start);
    this.#reserve(this.#length + taken);
    buf.copy(this.#slab.buf, this.#length, start, start + taken);
    this.#length += taken;
    return start + taken;
  }

  #reserve(bytes: number): void {
    const { buf } = this.#slab;
    if (bytes <= buf.length) return;
    const bigger = slabFor(Math.min(this.#size, Math.max(bytes, buf.length * 2)));
    buf.copy(bigger.buf, 0, 0, this.#length);
    arena.retire(this.#slab);
    this.#slab = bigger;
  }

  /** The bytes received so far. */
  get bytes(): Buffer {
    return this.#slab.buf.subarray(0, this.#length);
  }

  /** Number of bytes received so far. */
  get length(): number {
    return this.#length;
  }

  /** Bytes of the whole packet, from the beginning of the slab; -1 while some are missing. */
  get size(): number {
    return this.#size >= 0 && this.#length >= this.#size ? this.#size : -1;
  }

  /** The slab of the packet. The caller that takes the complete packet retires the slab. */
  get slab(): Slab {
    return this.#slab;
  }
}

/** A small packet gets exactly the size that it needs, because it may stay incomplete for long. */
function slabFor(bytes: number): Slab {
  return bytes < LARGE_PACKET_BYTES ? new Slab(bytes, false) : arena.take(bytes);
}

/** Puts packets that came in pieces together; whole packets inside a chunk never come here. */

import { ProtocolError } from '../../src/mqtt/errors.ts';
import { readRemainingLength, remainingLengthSize } from '../../src/mqtt/framer.ts';
import { REASON } from '../../src/mqtt/reason-codes.ts';

/** First allocation for a packet whose size the client only claims: memory follows the bytes that really come. */
const FIRST_BYTES = 128 * 1024;
const HEADER_MAX = 5;

/**
 * Size of the packet that begins at `at`, with its fixed header; -1 when that is not known yet.
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

/** The beginning of a packet whose end has not come yet. */
export class PartialPacket {
  #bytes: Buffer;
  #length: number;
  /** size of the whole packet, -1 while the length bytes are incomplete */
  #size: number;

  constructor(buf: Buffer, start: number, end: number, maximum: number) {
    this.#size = packetSize(buf, start, end, maximum);
    this.#length = end - start;
    this.#bytes = Buffer.allocUnsafeSlow(this.#size < 0 ? HEADER_MAX : Math.max(this.#length, Math.min(this.#size, FIRST_BYTES)));
    buf.copy(this.#bytes, 0, start, end);
  }

  /** Takes what it needs from buf[start, end); returns where it stopped. */
  take(buf: Buffer, start: number, end: number, maximum: number): number {
    while (this.#size < 0 && start < end) {
      this.#bytes[this.#length++] = buf[start++]!;
      this.#size = packetSize(this.#bytes, 0, this.#length, maximum);
    }
    if (this.#size < 0) return start;
    const taken = Math.min(this.#size - this.#length, end - start);
    this.#reserve(this.#length + taken);
    buf.copy(this.#bytes, this.#length, start, start + taken);
    this.#length += taken;
    return start + taken;
  }

  #reserve(bytes: number): void {
    if (bytes <= this.#bytes.length) return;
    const bigger = Buffer.allocUnsafeSlow(Math.min(this.#size, Math.max(bytes, this.#bytes.length * 2)));
    this.#bytes.copy(bigger, 0, 0, this.#length);
    this.#bytes = bigger;
  }

  /** The whole packet; null while bytes are missing. */
  get packet(): Buffer | null {
    return this.#size >= 0 && this.#length >= this.#size ? this.#bytes.subarray(0, this.#size) : null;
  }
}

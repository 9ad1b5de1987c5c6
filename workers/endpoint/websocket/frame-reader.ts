/** Parses the frames of a WebSocket client (RFC 6455 section 5.2). Unmasks MQTT's bytes in place and joins them. */

import { isUtf8 } from 'node:buffer';

/** Larger than any packet, because MQTT enforces the size limit with its own reason code. */
const FRAME_BYTES_MAX = 300 * 1024 * 1024;
const CONTROL_BYTES_MAX = 125;
/** Payloads of this size and more are unmasked by whole words. */
const WORDS_FROM_BYTES = 64;

const CONTINUATION = 0;
const TEXT = 1;
const BINARY = 2;
const CLOSE = 8;
const PING = 9;
const PONG = 10;

/** RFC 6455 section 7.4.1. */
export const NORMAL_CLOSURE = 1000;
const PROTOCOL_ERROR = 1002;
const UNSUPPORTED_DATA = 1003;
const INVALID_PAYLOAD = 1007;
const MESSAGE_TOO_BIG = 1009;
const NOTHING = Buffer.alloc(0);

/** How a client ended the WebSocket. */
export interface FrameEnd {
  /** close code of the answer */
  code: number;
  /** false: the client sent a forbidden frame */
  isOrderly: boolean;
  /** the end was a close frame: nothing follows it */
  isClose: boolean;
}

/** One per connection; keeps its position inside a frame between reads. */
export class FrameReader {
  /** frames begun until now */
  frames = 0;
  /** payload of the latest ping; the caller that answers it sets null */
  ping: Buffer | null = null;
  /** set when reading has stopped for good */
  ended: FrameEnd | null = null;
  /** an incomplete header */
  #partial: Buffer | null = null;
  /** missing bytes of the payload */
  #left = 0;
  #opcode = BINARY;
  /** the masking key, its first byte lowest, and the number of bytes that it has unmasked, modulo 4 */
  #mask = 0;
  #phase = 0;
  /** inside a fragmented message */
  #isFragmented = false;
  /** an incomplete payload of a control frame */
  #control: Buffer | null = null;

  /**
   * Reads buf[start, end) and changes it: MQTT's bytes move to the front.
   * @returns the end of MQTT's bytes, which are buf[start, returned)
   */
  read(buf: Buffer, start: number, end: number): number {
    let out = start;
    let at = start;
    while (at < end && this.ended === null) {
      if (this.#left === 0) {
        at = this.#readHeader(buf, at, end);
        if (this.#left === 0 && this.ended === null && this.#partial === null && this.#opcode >= CLOSE) this.#onControl(NOTHING);
        continue;
      }
      const take = Math.min(this.#left, end - at);
      this.#left -= take;
      if (this.#opcode < CLOSE) {
        this.#unmask(buf, at, take, out);
        out += take;
      } else this.#readControl(buf, at, take);
      at += take;
    }
    return out;
  }

  /** @returns where the payload begins, or `end` when the header is incomplete */
  #readHeader(buf: Buffer, at: number, end: number): number {
    if (this.#partial !== null) {
      const known = this.#partial.length;
      const joined = Buffer.concat([this.#partial, buf.subarray(at, Math.min(end, at + 14))]);
      const size = headerBytes(joined, 0, joined.length);
      if (size === 0) {
        this.#partial = joined;
        return end;
      }
      this.#partial = null;
      this.#begin(joined, 0, size);
      return at + size - known;
    }
    const size = headerBytes(buf, at, end);
    if (size === 0) {
      this.#partial = Buffer.from(buf.subarray(at, end));
      return end;
    }
    this.#begin(buf, at, size);
    return at + size;
  }

  #begin(buf: Buffer, at: number, size: number): void {
    const first = buf[at]!;
    const second = buf[at + 1]!;
    const opcode = first & 0x0f;
    const isMasked = (second & 0x80) !== 0;
    const length = isMasked ? payloadBytes(buf, at) : 0;
    const fault = isMasked ? this.#faultOf(first, length) : PROTOCOL_ERROR;
    if (fault !== null) {
      this.ended = { code: fault, isOrderly: false, isClose: false };
      return;
    }
    this.frames++;
    this.#opcode = opcode;
    if (opcode < CLOSE) this.#isFragmented = (first & 0x80) === 0;
    this.#left = length;
    this.#mask = buf.readInt32LE(at + size - 4);
    this.#phase = 0;
  }

  /** The close code for a forbidden header; null when the header is valid. */
  #faultOf(first: number, length: number): number | null {
    const opcode = first & 0x0f;
    // Reserved bits are for extensions, and none was negotiated.
    if ((first & 0x70) !== 0) return PROTOCOL_ERROR;
    if (opcode >= CLOSE) {
      const isKnown = opcode === CLOSE || opcode === PING || opcode === PONG;
      return isKnown && (first & 0x80) !== 0 && length <= CONTROL_BYTES_MAX ? null : PROTOCOL_ERROR;
    }
    // [MQTT-6.0.0-1]: MQTT control packets come in binary frames only.
    if (opcode === TEXT) return UNSUPPORTED_DATA;
    if (opcode !== (this.#isFragmented ? CONTINUATION : BINARY)) return PROTOCOL_ERROR;
    return length > FRAME_BYTES_MAX ? MESSAGE_TOO_BIG : null;
  }

  /** Moves `length` bytes from `from` down to `to`, unmasked. */
  #unmask(buf: Buffer, from: number, length: number, to: number): void {
    const mask = this.#mask;
    let phase = this.#phase;
    this.#phase = (phase + length) & 3;
    let n = 0;
    if (length < WORDS_FROM_BYTES) {
      for (; n < length; n++) buf[to + n] = buf[from + n]! ^ (mask >>> ((phase++ & 3) << 3));
      return;
    }
    if (from !== to) buf.copyWithin(to, from, from + length);
    // Bytes up to a word boundary, then whole words; this code needs a little-endian platform, as all supported ones are.
    for (; ((buf.byteOffset + to + n) & 3) !== 0; n++) buf[to + n]! ^= mask >>> ((phase++ & 3) << 3);
    const turn = (phase & 3) << 3;
    const word = turn === 0 ? mask : (mask >>> turn) | (mask << (32 - turn));
    const words = new Int32Array(buf.buffer, buf.byteOffset + to + n, (length - n) >> 2);
    for (let index = 0; index < words.length; index++) words[index]! ^= word;
    for (n += words.length << 2; n < length; n++) buf[to + n]! ^= mask >>> ((phase++ & 3) << 3);
  }

  #readControl(buf: Buffer, at: number, length: number): void {
    // The server sends no pings, so a pong has no meaning.
    if (this.#opcode === PONG) return;
    const bytes = Buffer.from(buf.subarray(at, at + length));
    this.#unmask(bytes, 0, length, 0);
    const known = this.#control;
    const payload = known === null ? bytes : Buffer.concat([known, bytes]);
    this.#control = this.#left > 0 ? payload : null;
    if (this.#left === 0) this.#onControl(payload);
  }

  #onControl(payload: Buffer): void {
    if (this.#opcode === PING) this.ping = payload;
    if (this.#opcode !== CLOSE) return;
    this.ended = readClose(payload);
  }
}

/** Parses a close frame and chooses the answer (RFC 6455 sections 5.5.1 and 7.4). */
function readClose(payload: Buffer): FrameEnd {
  if (payload.length === 0) return { code: NORMAL_CLOSURE, isOrderly: true, isClose: true };
  const code = payload.length < 2 ? 0 : payload.readUInt16BE(0);
  if (!isCloseCode(code)) return { code: PROTOCOL_ERROR, isOrderly: false, isClose: true };
  const isText = isUtf8(payload.subarray(2));
  return { code: isText ? code : INVALID_PAYLOAD, isOrderly: isText, isClose: true };
}

/** Bytes of the header at buf[at] with its mask; 0 when incomplete. An unmasked frame is refused at once: its two bytes suffice. */
function headerBytes(buf: Buffer, at: number, end: number): number {
  if (end - at < 2) return 0;
  const second = buf[at + 1]!;
  if ((second & 0x80) === 0) return 2;
  const short = second & 0x7f;
  const size = (short < 126 ? 2 : short === 126 ? 4 : 10) + 4;
  return end - at >= size ? size : 0;
}

function payloadBytes(buf: Buffer, at: number): number {
  const short = buf[at + 1]! & 0x7f;
  if (short < 126) return short;
  return short === 126 ? buf.readUInt16BE(at + 2) : Number(buf.readBigUInt64BE(at + 2));
}

/** Codes that may be sent in a close frame (RFC 6455 section 7.4). */
function isCloseCode(code: number): boolean {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

/** Writes the header of an unmasked frame before out[at]. @returns where it begins */
export function writeHeader(out: Buffer, at: number, opcode: number, length: number): number {
  const size = length < 126 ? 2 : length < 65536 ? 4 : 10;
  const start = at - size;
  out[start] = 0x80 | opcode;
  if (length < 126) out[start + 1] = length;
  else if (length < 65536) {
    out[start + 1] = 126;
    out.writeUInt16BE(length, start + 2);
  } else {
    out[start + 1] = 127;
    out.writeBigUInt64BE(BigInt(length), start + 2);
  }
  return start;
}

export const OPCODE = { binary: BINARY, close: CLOSE, pong: PONG } as const;

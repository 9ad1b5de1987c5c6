/** A cursor over the body of one packet that reads the standard's data types and refuses malformed values. */

import { ProtocolError } from './errors.ts';
import { readRemainingLength, remainingLengthSize } from './framer.ts';
import { REASON } from './reason-codes.ts';
import { isTextBytes } from './topic.ts';

/** Rejects a packet that cannot be parsed (0x81). */
export function malformed(message: string): never {
  throw new ProtocolError(REASON.malformedPacket, message);
}

/** Rejects a packet that can be parsed but is not allowed (0x82). */
export function violation(message: string): never {
  throw new ProtocolError(REASON.protocolError, message);
}

/** Every method moves `pos` and throws ProtocolError malformedPacket when the packet ends too early. */
export class ByteReader {
  readonly buf: Buffer;
  pos: number;
  readonly end: number;

  constructor(buf: Buffer, pos: number, end: number) {
    this.buf = buf;
    this.pos = pos;
    this.end = end;
  }

  get atEnd(): boolean {
    return this.pos === this.end;
  }

  /** Moves behind the next `length` bytes and returns their start. */
  skip(length: number): number {
    const from = this.pos;
    if (length > this.end - from) malformed('packet ends within a field');
    this.pos = from + length;
    return from;
  }

  /** Byte. */
  byte(): number {
    return this.buf[this.skip(1)]!;
  }

  /** Two Byte Integer. */
  uint16(): number {
    const at = this.skip(2);
    return (this.buf[at]! << 8) | this.buf[at + 1]!;
  }

  /** Four Byte Integer. */
  uint32(): number {
    return this.buf.readUInt32BE(this.skip(4));
  }

  /** Packet Identifier, never 0 [MQTT-2.2.1-3]. */
  packetId(): number {
    const id = this.uint16();
    return id === 0 ? violation('packet identifier is 0') : id;
  }

  /** Variable Byte Integer, in its shortest form [MQTT-1.5.5-1]. */
  variableByteInteger(): number {
    const value = readRemainingLength(this.buf, this.pos, this.end);
    if (value < 0) malformed('packet ends within a field');
    this.pos += remainingLengthSize(value);
    return value;
  }

  /**
   * Checks a UTF-8 Encoded String [MQTT-1.5.4-1] [MQTT-1.5.4-2] without decoding it. Returns the start of its bytes; `pos` is their end.
   */
  skipText(): number {
    const length = this.uint16();
    const from = this.skip(length);
    if (!isTextBytes(this.buf, from, this.pos)) malformed('a string is not well-formed UTF-8 or holds U+0000');
    return from;
  }

  /** UTF-8 Encoded String; keeps U+FEFF [MQTT-1.5.4-3]. */
  text(): string {
    const from = this.skipText();
    return this.buf.toString('utf8', from, this.pos);
  }

  /** Binary Data: a view of the input, not a copy. */
  binary(): Buffer {
    const length = this.uint16();
    const from = this.skip(length);
    return this.buf.subarray(from, this.pos);
  }

  /** Refuses bytes behind the last field. */
  finish(): void {
    if (this.pos !== this.end) malformed('bytes follow the last field of the packet');
  }
}

/**
 * A reader of the body behind the fixed header of the packet in `start..end`.
 * @throws ProtocolError malformedPacket when Remaining Length does not end exactly at `end`
 */
export function bodyReader(buf: Buffer, start: number, end: number): ByteReader {
  const length = readRemainingLength(buf, start + 1, end);
  if (length < 0) malformed('packet ends within its fixed header');
  const body = start + 1 + remainingLengthSize(length);
  if (body + length !== end) malformed('remaining length does not match the packet');
  return new ByteReader(buf, body, end);
}

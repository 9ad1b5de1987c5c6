/** The Remaining Length field of the fixed header: reads it, sizes it and writes it. */

import { ProtocolError } from './errors.ts';
import { REASON } from './reason-codes.ts';

/**
 * Reads the Variable Byte Integer at `offset`; bytes up to `end` have arrived. Returns -1 while the integer is incomplete.
 * @throws ProtocolError malformedPacket when the integer is longer than 4 bytes, or longer than its value needs [MQTT-1.5.5-1]
 */
export function readRemainingLength(buf: Buffer, offset: number, end: number): number {
  let value = 0;
  for (let i = 0; i < 4; i++) {
    if (offset + i >= end) return -1;
    const byte = buf[offset + i]!;
    value |= (byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      if (byte === 0 && i > 0) throw new ProtocolError(REASON.malformedPacket, 'length is not encoded in the fewest bytes');
      return value;
    }
  }
  throw new ProtocolError(REASON.malformedPacket, 'length is longer than 4 bytes');
}

/** Size of the Variable Byte Integer of `value`, bytes; 0 <= value <= 268435455. */
export function remainingLengthSize(value: number): 1 | 2 | 3 | 4 {
  if (value < 128) return 1;
  if (value < 16_384) return 2;
  return value < 2_097_152 ? 3 : 4;
}

/** Writes `value` (0..268435455) as a Variable Byte Integer at `offset`; returns the offset behind the integer. */
export function writeRemainingLength(target: Buffer, offset: number, value: number): number {
  while (value > 0x7f) {
    target[offset++] = (value & 0x7f) | 0x80;
    value >>>= 7;
  }
  target[offset++] = value;
  return offset;
}

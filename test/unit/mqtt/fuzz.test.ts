/** No bytes make the decoder throw anything but a ProtocolError. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodePacket } from '../../../src/mqtt/decode.ts';
import { ProtocolError } from '../../../src/mqtt/errors.ts';
import { remainingLengthSize, writeRemainingLength } from '../../../src/mqtt/framer.ts';
import type { ProtocolVersion } from '../../../src/mqtt/packet.ts';
import { answerVersion } from '../../../src/mqtt/rare/decode-connect.ts';
import { PACKETS } from '../../kit/packets.ts';

const versions = fc.constantFrom<ProtocolVersion | 0>(0, 3, 4, 5);

function mayOnlyRefuse(buf: Buffer, start: number, end: number, version: ProtocolVersion | 0): void {
  answerVersion(buf, start, end);
  try {
    decodePacket(buf, start, end, version);
  } catch (error) {
    expect(error).toBeInstanceOf(ProtocolError);
  }
}

test('random bytes, with a length that fits', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 255 }), fc.uint8Array({ maxLength: 300 }), versions, (first, body, version) => {
      const head = Buffer.alloc(1 + remainingLengthSize(body.length), first);
      writeRemainingLength(head, 1, body.length);
      const packet = Buffer.concat([head, body]);
      mayOnlyRefuse(packet, 0, packet.length, version);
    }),
    { numRuns: 5000 },
  );
});

test('random bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 50 }), fc.nat(50), versions, (bytes, from, version) => {
      mayOnlyRefuse(Buffer.from(bytes), Math.min(from, bytes.length), bytes.length, version);
    }),
    { numRuns: 2000 },
  );
});

test('each packet of the table with one byte changed, in every version', () => {
  for (const { packet } of PACKETS) {
    if (packet.length > 120) continue;
    for (let at = 0; at < packet.length; at++) {
      const copy = Buffer.from(packet);
      for (const change of [0x01, 0x80, 0xff, packet[at]!]) {
        copy[at] = packet[at]! ^ change;
        for (const version of [0, 3, 4, 5] as const) mayOnlyRefuse(copy, 0, copy.length, version);
      }
    }
  }
});

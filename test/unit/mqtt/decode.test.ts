/** The decoder against the table of packets: every field, every refusal, cut short, and inside a larger buffer. */

import { describe, expect, test } from 'vitest';
import { decodeInSteps, decodePacket } from '../../../src/mqtt/decode.ts';
import { ProtocolError } from '../../../src/mqtt/errors.ts';
import { readRemainingLength, remainingLengthSize, writeRemainingLength } from '../../../src/mqtt/framer.ts';
import type { Packet, ProtocolVersion } from '../../../src/mqtt/packet.ts';
import { answerVersion } from '../../../src/mqtt/rare/decode-connect.ts';
import { REASON } from '../../../src/mqtt/reason-codes.ts';
import { bytes, PACKETS } from '../../kit/packets.ts';

/** The decoded packet or the reason code that refused it; any other error fails the test. */
function outcome(buf: Buffer, start: number, end: number, version: ProtocolVersion | 0): Packet | number {
  try {
    return decodePacket(buf, start, end, version);
  } catch (error) {
    if (error instanceof ProtocolError) return error.reasonCode;
    throw error;
  }
}

/** The bytes after the fixed header. */
function body(packet: Buffer): Buffer {
  return packet.subarray(1 + remainingLengthSize(readRemainingLength(packet, 1, packet.length)));
}

function withBody(first: number, rest: Buffer): Buffer {
  const packet = Buffer.alloc(1 + remainingLengthSize(rest.length) + rest.length);
  packet[0] = first;
  rest.copy(packet, writeRemainingLength(packet, 1, rest.length));
  return packet;
}

describe('decodePacket', () => {
  test.each(PACKETS)('$name (version $version)', ({ packet, version, expected }) => {
    expect(outcome(packet, 0, packet.length, version)).toEqual(expected);
  });

  test('says the same inside a larger buffer, whatever stands around the packet', () => {
    for (const poison of [0x00, 0xff, 0x2b]) {
      for (const { name, packet, version, expected } of PACKETS) {
        const larger = Buffer.alloc(packet.length + 40, poison);
        packet.copy(larger, 17);
        expect(outcome(larger, 17, 17 + packet.length, version), name).toEqual(expected);
      }
    }
  });

  test('refuses a packet that is cut at any byte', () => {
    for (const { name, packet, version, expected } of PACKETS) {
      if (typeof expected === 'number') continue;
      for (let end = 0; end < packet.length; end++) {
        expect(outcome(packet, 0, end, version), `${name} cut at ${end}`).toBe(REASON.malformedPacket);
      }
    }
  });

  test('refuses a body that is cut at any byte and has the length to match, except where the rest is optional', () => {
    for (const { name, packet, version, expected } of PACKETS) {
      if (typeof expected === 'number') continue;
      const whole = body(packet);
      for (let end = 0; end < whole.length; end++) {
        const got = outcome(withBody(packet[0]!, whole.subarray(0, end)), 0, 1 + remainingLengthSize(end) + end, version);
        const where = `${name} with ${end} bytes`;
        if (typeof got !== 'number') expect(isShorterForm(expected, got), where).toBe(true);
        else expect(REFUSALS_OF_CUT, where).toContain(got);
      }
    }
  });

  test('refuses bytes behind any packet that has no payload', () => {
    for (const { name, packet, version, expected } of PACKETS) {
      if (typeof expected === 'number' || expected.type === 'publish' || expected.type === 'unsubscribe') continue;
      const longer = withBody(packet[0]!, Buffer.concat([body(packet), bytes('ff ff ff ff ff ff')]));
      expect(outcome(longer, 0, longer.length, version), name).toBeTypeOf('number');
    }
  });

  test('hands out parts of the input, not copies', () => {
    const packet = bytes(`32 ("a" 00 01 (26 "x" "y") 'payload')`);
    const decoded = decodePacket(packet, 0, packet.length, 5);
    if (decoded.type !== 'publish') throw new Error('not a PUBLISH');
    expect(decoded.payload.buffer).toBe(packet.buffer);
    expect(decoded.properties!.forward.buffer).toBe(packet.buffer);
  });
});

const REFUSALS_OF_CUT: number[] = [REASON.malformedPacket, REASON.protocolError];

/** A packet that lost its end may still be valid: with a shorter payload, fewer filters, or a default in place of a reason code. */
function isShorterForm(whole: Packet, cut: Packet): boolean {
  if (whole.type !== cut.type) return false;
  if (cut.type === 'publish' && whole.type === 'publish') {
    return cut.topic === whole.topic && whole.payload.subarray(0, cut.payload.length).equals(cut.payload);
  }
  if (cut.type === 'subscribe' && whole.type === 'subscribe') return cut.subscriptions.length < whole.subscriptions.length;
  if (cut.type === 'unsubscribe' && whole.type === 'unsubscribe') return cut.filters.length < whole.filters.length;
  if (cut.type === 'connect') return cut.protocolVersion === 3; // announced credentials may be missing there
  return cut.type === 'disconnect' || cut.type.startsWith('pub');
}

describe('answerVersion', () => {
  test.each([
    ['10 ("MQTT" 05 03 00 3c () "c")', 5],
    ['10 ("MQTT" 06 02 00 3c () "c")', 5],
    ['10 ("MQTT" 04 00 00 3c "")', 4],
    ['10 ("MQTT" 03 02 00 3c "c")', 4],
    ['10 ("MQIsdp" 03 02 00 3c "")', 3],
    ['10 (00)', 4],
    ['10 02 00', 4],
  ])('of %s is %i', (notation, version) => {
    const packet = bytes(notation);
    expect(answerVersion(packet, 0, packet.length)).toBe(version);
  });
});

describe('readRemainingLength', () => {
  test.each([0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455])('reads what was written: %i', (value) => {
    const buf = Buffer.alloc(10, 0xff);
    const end = writeRemainingLength(buf, 3, value);
    expect(end - 3).toBe(remainingLengthSize(value));
    expect(readRemainingLength(buf, 3, end)).toBe(value);
    for (let cut = 3; cut < end; cut++) expect(readRemainingLength(buf, 3, cut)).toBe(-1);
  });

  test.each(['80 80 80 80', 'ff ff ff ff 00', '80 00', '81 80 00', 'ff ff ff 00'])('refuses %s', (notation) => {
    const buf = bytes(notation);
    expect(() => readRemainingLength(buf, 0, buf.length)).toThrow(expect.objectContaining({ reasonCode: REASON.malformedPacket }));
  });
});

test('SUBSCRIBE and UNSUBSCRIBE read in steps are what they are in one go, and the same is refused', () => {
  let steps = 0;
  const inSteps = (packet: Buffer, version: 3 | 4 | 5): unknown => {
    const reading = decodeInSteps(packet, 0, packet.length, version);
    if (reading === null) return null;
    for (let step = reading.next(); ; step = reading.next()) {
      if (step.done === true) return step.value;
      steps++;
    }
  };
  const code = (read: () => unknown): unknown => {
    try {
      return read();
    } catch (error) {
      return (error as ProtocolError).reasonCode;
    }
  };
  for (const { version, packet } of PACKETS) {
    if (version === 0 || (packet[0]! >> 4 !== 8 && packet[0]! >> 4 !== 10)) continue;
    expect(code(() => inSteps(packet, version))).toEqual(code(() => decodePacket(packet, 0, packet.length, version)));
  }
  const many = bytes(`82 (00 01 ${'"a/b" 00 '.repeat(1000)})`);
  expect(inSteps(many, 4)).toEqual(decodePacket(many, 0, many.length, 4));
  expect(steps).toBeGreaterThan(5);
  expect(inSteps(bytes('c0 ()'), 4)).toBe(null);
});

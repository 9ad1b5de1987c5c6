/** Packets of the server: the test kit's own decoder has to read what the broker and mqtt-packet write; and PUBLISH comes back to us. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodePacket } from '../../../src/mqtt/decode.ts';
import { ACK, ackSize, type PublishEncoding, publishSize, writeAck, writePublish } from '../../../src/mqtt/encode-publish.ts';
import type { Packet, ProtocolVersion } from '../../../src/mqtt/packet.ts';
import {
  type ConnackProperties,
  connackReturnCode,
  encodeConnack,
  encodeDisconnect,
  encodeSuback,
  encodeUnsuback,
  PINGRESP,
} from '../../../src/mqtt/rare/encode.ts';
import { type ServerPacket, Splitter } from '../../kit/decode.ts';
import { bytes } from '../../kit/packets.ts';
import { encodePublish, flag, optional, packetId, present, qos, text, theirs, topic, uint16, uint32, version } from './oracle.ts';

const publishArbitrary: fc.Arbitrary<PublishEncoding> = fc.record({
  version,
  qos,
  retain: flag,
  dup: flag,
  packetId,
  topic: topic.map((name) => Buffer.from(name)),
  payload: fc.uint8Array({ maxLength: 20_000 }).map((value) => Buffer.from(value)),
  topicAlias: fc.integer({ min: 0, max: 65_535 }),
  messageExpiryInterval: fc.oneof(fc.constant(-1), fc.constant(0), uint32),
  subscriptionIdentifiers: fc.constant([]),
  forward: fc.constantFrom(Buffer.alloc(0), bytes('01 01'), bytes('26 "b" "1" 26 "a" "2" 26 "b" "3"'), bytes('03 "é" 08 "r" 09 "x"')),
});

describe('PUBLISH', () => {
  test('comes back as it was written, into the middle of a buffer', () => {
    fc.assert(
      fc.property(publishArbitrary, fc.integer({ min: 0, max: 9 }), (raw, offset) => {
        const o = { ...raw, dup: raw.dup && raw.qos > 0 };
        const size = publishSize(o);
        const target = Buffer.alloc(offset + size + 9, 0xa5);
        expect(writePublish(target, offset, o)).toBe(offset + size);
        expect(target.subarray(0, offset).every((byte) => byte === 0xa5)).toBe(true);
        expect(target.subarray(offset + size).every((byte) => byte === 0xa5)).toBe(true);
        const { topicAlias, messageExpiryInterval, forward } = o;
        const empty = topicAlias === 0 && messageExpiryInterval < 0 && forward.length === 0;
        expect(decodePacket(target, offset, offset + size, o.version)).toEqual({
          type: 'publish',
          qos: o.qos,
          retain: o.retain,
          dup: o.dup,
          packetId: o.qos === 0 ? 0 : o.packetId,
          topic: o.topic.toString('latin1'),
          payload: o.payload,
          properties: o.version < 5 || empty ? null : { topicAlias, messageExpiryInterval, forward },
        } satisfies Packet);
      }),
    );
  });

  test('with subscription identifiers is read by mqtt-packet', () => {
    const identifiers = fc.array(fc.integer({ min: 1, max: 268_435_455 }), { minLength: 2, maxLength: 4 });
    fc.assert(
      fc.property(publishArbitrary, identifiers, (raw, subscriptionIdentifiers) => {
        const o: PublishEncoding = { ...raw, version: 5, dup: false, subscriptionIdentifiers, topicAlias: 0 };
        const packet = theirs(encodePublish(o), 5);
        expect(packet).toMatchObject({
          topic: o.topic.toString(),
          payload: o.payload,
          properties: { subscriptionIdentifier: subscriptionIdentifiers },
        });
      }),
    );
  });

  test('with a known topic alias has no topic', () => {
    const o: PublishEncoding = {
      version: 5,
      qos: 1,
      retain: false,
      dup: false,
      packetId: 2,
      topic: Buffer.alloc(0),
      payload: Buffer.from('hi'),
      topicAlias: 9,
      messageExpiryInterval: -1,
      subscriptionIdentifiers: [],
      forward: Buffer.alloc(0),
    };
    expect(encodePublish(o)).toEqual(bytes(`32 ("" 00 02 (23 00 09) 'hi')`));
  });
});

/** Read by the decoder of the test kit, which shares no code with the broker or with mqtt-packet. */
function read(packet: Buffer, v: ProtocolVersion): ServerPacket {
  const packets = new Splitter(v).push(packet);
  expect(packets).toHaveLength(1);
  return packets[0]!;
}

describe('a client reads', () => {
  test('CONNACK', () => {
    const zeroOr16 = fc.integer({ min: 0, max: 65_535 });
    const arbitrary = fc.record({
      receiveMaximum: optional(uint16),
      maximumPacketSize: optional(uint32),
      assignedClientIdentifier: optional(text),
      topicAliasMaximum: optional(zeroOr16),
      reasonString: optional(text),
      serverKeepAlive: optional(zeroOr16),
    });
    const code = fc.constantFrom(0, 0x80, 0x84, 0x87, 0x9f);
    fc.assert(
      fc.property(version, arbitrary, flag, code, (v, values, sessionPresent, reasonCode) => {
        const properties: ConnackProperties = present(values);
        const { assignedClientIdentifier, ...same } = properties;
        const expected = assignedClientIdentifier === undefined ? same : { ...same, assignedClientId: assignedClientIdentifier };
        expect(read(encodeConnack(v, { sessionPresent, reasonCode, properties }), v)).toEqual({
          type: 'connack',
          sessionPresent: sessionPresent && reasonCode === 0 && v > 3,
          code: v === 5 ? reasonCode : connackReturnCode(reasonCode),
          properties: v === 5 ? expected : {},
        });
      }),
    );
  });

  test('acknowledgements', () => {
    const type = fc.constantFrom<keyof typeof ACK>('puback', 'pubrec', 'pubrel', 'pubcomp');
    const code = fc.constantFrom(0, 0x92);
    fc.assert(
      fc.property(type, version, packetId, code, fc.nat(20), (cmd, v, id, ackCode, offset) => {
        const reasonCode = cmd === 'puback' || cmd === 'pubrec' ? ackCode && 0x87 : ackCode;
        const target = Buffer.alloc(offset + ackSize(v, reasonCode));
        expect(writeAck(target, offset, ACK[cmd], v, id, reasonCode)).toBe(target.length);
        expect(read(target.subarray(offset), v)).toEqual({ type: cmd, id, code: v === 5 ? reasonCode : 0, properties: {} });
        expect(theirs(target.subarray(offset), v)).toMatchObject({ cmd, messageId: id });
      }),
    );
  });

  test('SUBACK and UNSUBACK', () => {
    const codes = fc.array(fc.constantFrom(0, 1, 2, 0x80, 0x87, 0x8f), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(version, packetId, codes, (v, id, list) => {
        expect(read(encodeSuback(v, id, list), v)).toEqual({
          type: 'suback',
          id,
          codes: v === 5 ? list : list.map((code) => Math.min(code, 0x80)),
          properties: {},
        });
        const unsubscribed = list.map((code) => (code < 0x80 ? 0x11 : code));
        expect(read(encodeUnsuback(v, id, unsubscribed), v)).toEqual({
          type: 'unsuback',
          id,
          codes: v === 5 ? unsubscribed : [],
          properties: {},
        });
      }),
    );
  });

  test('DISCONNECT and PINGRESP', () => {
    fc.assert(
      fc.property(optional(text), optional(text), (reasonString, serverReference) => {
        const properties = present({ reasonString, serverReference });
        expect(read(encodeDisconnect(0x8e, properties), 5)).toEqual({ type: 'disconnect', code: 0x8e, properties });
      }),
    );
    expect(read(PINGRESP, 4)).toEqual({ type: 'pingresp' });
  });
});

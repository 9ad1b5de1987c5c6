/** Shared by both directions of the comparison with mqtt-packet: arbitrary values, and the two codecs side by side. */

import fc from 'fast-check';
import mqttPacket, { type Packet as TheirPacket } from 'mqtt-packet';
import { expect } from 'vitest';
import { decodePacket } from '../../../src/mqtt/decode.ts';
import { type PublishEncoding, publishSize, writePublish } from '../../../src/mqtt/encode-publish.ts';
import type { Packet, ProtocolVersion, QoS, UserProperties } from '../../../src/mqtt/packet.ts';

export const version = fc.constantFrom<ProtocolVersion>(3, 4, 5);
export const qos = fc.constantFrom<QoS>(0, 1, 2);
export const flag = fc.boolean();
export const packetId = fc.integer({ min: 1, max: 65_535 });
export const uint16 = fc.integer({ min: 1, max: 65_535 });
export const uint32 = fc.integer({ min: 1, max: 0xffff_ffff });
export const text = fc.string({ unit: 'binary', minLength: 1, maxLength: 200 }).filter((value) => !value.includes('\0'));
export const topic = text.map((value) => value.replaceAll(/[+#]/g, '/'));
export const binary = fc.uint8Array({ minLength: 1, maxLength: 300 }).map((value) => Buffer.from(value));
export const optional = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(arbitrary, { nil: undefined });
/** One value for each name, in the order in which mqtt-packet writes the keys of an object. */
export const users = fc
  .uniqueArray(fc.tuple(fc.stringMatching(/^[a-zé][a-z_]{0,20}$/), text), { maxLength: 4, selector: ([name]) => name })
  .map((pairs): UserProperties => pairs.filter(([name]) => name !== '__proto__'));

/** A PUBLISH in a buffer with its own bytes. */
export function encodePublish(o: PublishEncoding): Buffer {
  const packet = Buffer.alloc(publishSize(o));
  writePublish(packet, 0, o);
  return packet;
}

/** Leaves out what is undefined: to mqtt-packet a key that is there has a value. */
export function present<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}

/** mqtt-packet writes nothing at all for user properties without a name. */
export function named(pairs: UserProperties): { userProperties?: Record<string, string> } {
  return pairs.length === 0 ? {} : { userProperties: Object.fromEntries(pairs) };
}

export function ours(packet: TheirPacket, v: ProtocolVersion): Packet {
  const buf = mqttPacket.generate(packet, { protocolVersion: v });
  return decodePacket(buf, 0, buf.length, packet.cmd === 'connect' ? 0 : v);
}

export function theirs(buf: Buffer, v: ProtocolVersion): Record<string, unknown> {
  const packets: TheirPacket[] = [];
  const parser = mqttPacket.parser({ protocolVersion: v });
  parser.on('packet', (packet) => packets.push(packet));
  parser.on('error', (error: Error) => {
    throw error;
  });
  expect(parser.parse(buf)).toBe(0);
  expect(packets).toHaveLength(1);
  return { ...packets[0] };
}

export function propertiesOf(values: object): object {
  const set = present(values);
  return Object.keys(set).length === 0 ? {} : { properties: set };
}

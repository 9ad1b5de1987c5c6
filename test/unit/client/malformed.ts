/** Packets that end the connection, and the reason codes that the standard has for them. */

import { REASON } from '../../../src/mqtt/reason-codes.ts';

type Version = 3 | 4 | 5;

export interface Malformed {
  name: string;
  versions: readonly Version[];
  reasonCode: number;
  bytes(version: Version): Buffer;
}

const ALL: readonly Version[] = [3, 4, 5];
const { malformedPacket, protocolError, topicNameInvalid, topicAliasInvalid, packetTooLarge } = REASON;
/** Maximum packet size in the worlds of these tests, bytes. */
export const SIZE_MAX = 100_000;

function publish(version: Version, first: number, topic: Buffer, rest: number[], properties: number[] = []): Buffer {
  const block = version === 5 ? [properties.length, ...properties] : [];
  const id = (first & 6) === 0 ? [] : rest.splice(0, 2);
  const body = Buffer.from([topic.length >> 8, topic.length & 255, ...topic, ...id, ...block, ...rest]);
  return Buffer.concat([Buffer.from([first, body.length]), body]);
}

const A = Buffer.from('a');
const fixed = (...bytes: number[]) => Buffer.from(bytes);

export const MALFORMED: readonly Malformed[] = [
  { name: 'type 0', versions: ALL, reasonCode: malformedPacket, bytes: () => fixed(0x00, 0) },
  { name: 'QoS 3', versions: ALL, reasonCode: malformedPacket, bytes: (v) => publish(v, 0x36, A, [0, 1]) },
  { name: 'DUP with QoS 0', versions: [4, 5], reasonCode: malformedPacket, bytes: (v) => publish(v, 0x38, A, []) },
  { name: 'identifier 0', versions: ALL, reasonCode: protocolError, bytes: (v) => publish(v, 0x32, A, [0, 0]) },
  { name: 'topic with a wildcard', versions: ALL, reasonCode: topicNameInvalid, bytes: (v) => publish(v, 0x30, Buffer.from('a/#'), [1]) },
  { name: 'topic with NUL', versions: ALL, reasonCode: malformedPacket, bytes: (v) => publish(v, 0x30, fixed(0x61, 0), [1]) },
  { name: 'topic that is no UTF-8', versions: ALL, reasonCode: malformedPacket, bytes: (v) => publish(v, 0x30, fixed(0xc0, 0x80), [1]) },
  { name: 'topic beyond the end', versions: ALL, reasonCode: malformedPacket, bytes: () => fixed(0x30, 4, 0, 9, 0x61, 0x61) },
  { name: 'no topic', versions: ALL, reasonCode: malformedPacket, bytes: () => fixed(0x30, 1, 0) },
  { name: 'alias 0', versions: [5], reasonCode: topicAliasInvalid, bytes: (v) => publish(v, 0x30, A, [], [0x23, 0, 0]) },
  { name: 'alias over the maximum', versions: [5], reasonCode: topicAliasInvalid, bytes: (v) => publish(v, 0x30, A, [], [0x23, 9, 9]) },
  { name: 'alias that is not set', versions: [5], reasonCode: protocolError, bytes: (v) => publish(v, 0x30, fixed(), [], [0x23, 0, 99]) },
  { name: 'property twice', versions: [5], reasonCode: protocolError, bytes: (v) => publish(v, 0x30, A, [], [1, 0, 1, 0]) },
  { name: 'property of another packet', versions: [5], reasonCode: malformedPacket, bytes: (v) => publish(v, 0x30, A, [], [0x21, 0, 1]) },
  { name: 'property cut short', versions: [5], reasonCode: malformedPacket, bytes: (v) => publish(v, 0x32, A, [0, 1], [0x26, 0, 9, 1]) },
  { name: 'subscription identifier', versions: [5], reasonCode: protocolError, bytes: (v) => publish(v, 0x30, A, [], [0x0b, 1]) },
  { name: 'length of five bytes', versions: ALL, reasonCode: malformedPacket, bytes: () => fixed(0x30, 0x80, 0x80, 0x80, 0x80, 1) },
  { name: 'too large', versions: ALL, reasonCode: packetTooLarge, bytes: () => fixed(0x30, 0xff, 0xff, 0x7f, 0, 1, 0x61) },
  { name: 'PUBREL with flags 0', versions: ALL, reasonCode: malformedPacket, bytes: () => fixed(0x60, 2, 0, 1) },
  { name: 'PUBACK of identifier 0', versions: ALL, reasonCode: protocolError, bytes: () => fixed(0x40, 2, 0, 0) },
  { name: 'PUBACK of one byte', versions: ALL, reasonCode: malformedPacket, bytes: () => fixed(0x40, 1, 1) },
  { name: 'PINGREQ with a body', versions: ALL, reasonCode: malformedPacket, bytes: () => fixed(0xc0, 1, 0) },
  { name: 'CONNACK from a client', versions: ALL, reasonCode: protocolError, bytes: () => fixed(0x20, 2, 0, 0) },
  { name: 'AUTH', versions: [5], reasonCode: protocolError, bytes: () => fixed(0xf0, 0) },
];

/** Writes PUBLISH and its acknowledgements into a buffer of the caller. */

import { remainingLengthSize, writeRemainingLength } from './framer.ts';
import type { ProtocolVersion, QoS } from './packet.ts';
import { PROPERTY } from './properties.ts';

/** One message in the form for one subscriber. Versions before MQTT 5 ignore the fields of properties. */
export interface PublishEncoding {
  version: ProtocolVersion;
  qos: QoS;
  retain: boolean;
  dup: boolean;
  /** ignored for QoS 0 */
  packetId: number;
  /** UTF-8 bytes; empty when the client knows the topic by its alias */
  topic: Buffer;
  payload: Buffer;
  /** 0 = none */
  topicAlias: number;
  /** seconds; -1 = none */
  messageExpiryInterval: number;
  subscriptionIdentifiers: readonly number[];
  /** encoded properties that are forwarded unaltered; may be empty */
  forward: Buffer;
}

function propertiesSize(o: PublishEncoding): number {
  let size = o.forward.length;
  if (o.topicAlias !== 0) size += 3;
  if (o.messageExpiryInterval >= 0) size += 5;
  for (const id of o.subscriptionIdentifiers) size += 1 + remainingLengthSize(id);
  return size;
}

/** Remaining Length. */
function bodySize(o: PublishEncoding, properties: number): number {
  const size = 2 + o.topic.length + (o.qos === 0 ? 0 : 2) + o.payload.length;
  return o.version === 5 ? size + remainingLengthSize(properties) + properties : size;
}

/** Size of the packet that `writePublish` writes, to compare with the Maximum Packet Size of the client [MQTT-3.1.2-24]. */
export function publishSize(o: PublishEncoding): number {
  const body = bodySize(o, o.version === 5 ? propertiesSize(o) : 0);
  return 1 + remainingLengthSize(body) + body;
}

/** Writes the packet at `offset`, where `publishSize` bytes must be free. Returns the offset behind the packet. */
export function writePublish(target: Buffer, offset: number, o: PublishEncoding): number {
  const properties = o.version === 5 ? propertiesSize(o) : 0;
  target[offset++] = 0x30 | (o.dup ? 0x08 : 0) | (o.qos << 1) | (o.retain ? 0x01 : 0);
  offset = writeRemainingLength(target, offset, bodySize(o, properties));
  offset = writeUint16(target, offset, o.topic.length);
  offset += o.topic.copy(target, offset);
  if (o.qos !== 0) offset = writeUint16(target, offset, o.packetId);
  if (o.version === 5) {
    offset = writeRemainingLength(target, offset, properties);
    if (properties !== 0) offset = writeProperties(target, offset, o);
  }
  return offset + o.payload.copy(target, offset);
}

function writeProperties(target: Buffer, offset: number, o: PublishEncoding): number {
  if (o.topicAlias !== 0) {
    target[offset++] = PROPERTY.topicAlias;
    offset = writeUint16(target, offset, o.topicAlias);
  }
  if (o.messageExpiryInterval >= 0) {
    target[offset++] = PROPERTY.messageExpiryInterval;
    offset = target.writeUInt32BE(o.messageExpiryInterval, offset);
  }
  for (const id of o.subscriptionIdentifiers) {
    target[offset++] = PROPERTY.subscriptionIdentifier;
    offset = writeRemainingLength(target, offset, id);
  }
  return offset + o.forward.copy(target, offset);
}

function writeUint16(target: Buffer, offset: number, value: number): number {
  target[offset] = value >> 8;
  target[offset + 1] = value & 0xff;
  return offset + 2;
}

/** First bytes of PUBACK, PUBREC, PUBREL and PUBCOMP. */
export const ACK = { puback: 0x40, pubrec: 0x50, pubrel: 0x62, pubcomp: 0x70 } as const;
export type Acknowledgement = (typeof ACK)[keyof typeof ACK];

/** Size of the packet that `writeAck` writes. Only MQTT 5 has a reason code, and a reason code of 0 is left out. */
export function ackSize(version: ProtocolVersion, reasonCode: number): 4 | 5 {
  return version === 5 && reasonCode !== 0 ? 5 : 4;
}

/** Writes the packet at `offset`, where `ackSize` bytes must be free. Returns the offset behind the packet. */
export function writeAck(
  target: Buffer,
  offset: number,
  first: Acknowledgement,
  version: ProtocolVersion,
  packetId: number,
  reasonCode: number,
): number {
  const size = ackSize(version, reasonCode);
  target[offset] = first;
  target[offset + 1] = size - 2;
  target[offset + 2] = packetId >> 8;
  target[offset + 3] = packetId & 0xff;
  if (size === 5) target[offset + 4] = reasonCode;
  return offset + size;
}

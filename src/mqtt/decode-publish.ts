/** Reads PUBLISH and its acknowledgements. */

import { ProtocolError } from './errors.ts';
import type { AckPacket, ProtocolVersion, PublishPacket, QoS } from './packet.ts';
import { PROPERTY, readPublishProperties } from './properties.ts';
import { checkProperties } from './rare/strict.ts';
import { type ByteReader, bodyReader, malformed, violation } from './reader.ts';
import { REASON } from './reason-codes.ts';
import { hasWildcardBytes } from './topic.ts';

/**
 * Reads the PUBLISH in bytes `start..end`, fixed header included. `payload` and `forward` are views of the input.
 * @throws ProtocolError malformedPacket, also for QoS 3 [MQTT-3.3.1-4] and DUP with QoS 0 [MQTT-3.3.1-2]; topicNameInvalid for
 *   wildcards [MQTT-3.3.2-2]; protocolError for packet identifier 0 [MQTT-2.2.1-3], and for an empty topic without a topic alias;
 *   for properties see `readPublishProperties`
 */
export function decodePublish(buf: Buffer, start: number, end: number, version: ProtocolVersion): PublishPacket {
  const first = buf[start]!;
  const qos = (first >> 1) & 3;
  const dup = (first & 0x08) !== 0;
  if (qos === 3) malformed('QoS is 3');
  if (dup && qos === 0) malformed('DUP is set with QoS 0');
  const reader = bodyReader(buf, start, end);
  const topicStart = reader.skipText();
  const topicEnd = reader.pos;
  if (hasWildcardBytes(buf, topicStart, topicEnd)) throw new ProtocolError(REASON.topicNameInvalid, 'topic name has wildcards');
  const packetId = qos === 0 ? 0 : reader.packetId();
  const properties = version === 5 ? readPublishProperties(reader, null) : null;
  if (topicStart === topicEnd) {
    if (version < 5) throw new ProtocolError(REASON.topicNameInvalid, 'topic name is empty');
    if (properties === null || properties.topicAlias === 0) violation('neither topic name nor topic alias');
  }
  return {
    type: 'publish',
    qos: qos as QoS,
    retain: (first & 0x01) !== 0,
    dup,
    packetId,
    topic: buf.toString('latin1', topicStart, topicEnd),
    payload: buf.subarray(reader.pos, end),
    properties,
  };
}

const OF_PUBACK: readonly number[] = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
const OF_PUBREL: readonly number[] = [0x00, 0x92];
const ACK_CODES: Record<AckPacket['type'], readonly number[]> = {
  puback: OF_PUBACK,
  pubrec: OF_PUBACK,
  pubrel: OF_PUBREL,
  pubcomp: OF_PUBREL,
};
const ACK_PROPERTIES = [PROPERTY.reasonString];

/**
 * Reads the body of PUBACK, PUBREC, PUBREL or PUBCOMP. MQTT 5 allows leaving out the reason code and the properties.
 * @throws ProtocolError malformedPacket, or protocolError for packet identifier 0 and a reason code that this type does not
 *   have [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1]
 */
export function decodeAck(type: AckPacket['type'], reader: ByteReader, version: ProtocolVersion): AckPacket {
  const packetId = reader.packetId();
  let reasonCode = 0;
  if (version === 5 && !reader.atEnd) {
    reasonCode = reader.byte();
    if (!ACK_CODES[type].includes(reasonCode)) violation(`reason code ${reasonCode} is not allowed in ${type}`);
    if (!reader.atEnd) checkProperties(reader, ACK_PROPERTIES);
  }
  reader.finish();
  return { type, packetId, reasonCode };
}

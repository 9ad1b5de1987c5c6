/** Reads one whole packet from a client, strictly by the standard of its version. */

import { type Steps, toEnd } from '../kernel/turns/steps.ts';
import { decodeAuth, decodeConnect, decodeDisconnect } from './decode-connect.ts';
import { decodeAck, decodePublish } from './decode-publish.ts';
import type { Packet, ProtocolVersion, QoS, SubscribePacket, SubscribeRequest, UnsubscribePacket } from './packet.ts';
import { PROPERTY, readProperties } from './properties.ts';
import { type ByteReader, bodyReader, malformed, violation } from './reader.ts';
import { parseSharedFilter } from './topic.ts';

export { decodePublish } from './decode-publish.ts';

/** Names of the packet types, by the upper four bits of the first byte. */
export const PACKET_NAMES: readonly string[] = [
  'type 0',
  'CONNECT',
  'CONNACK',
  'PUBLISH',
  'PUBACK',
  'PUBREC',
  'PUBREL',
  'PUBCOMP',
  'SUBSCRIBE',
  'SUBACK',
  'UNSUBSCRIBE',
  'UNSUBACK',
  'PINGREQ',
  'PINGRESP',
  'DISCONNECT',
  'AUTH',
];
const PUBLISH = 3;
const SUBSCRIBE = 8;
const UNSUBSCRIBE = 10;

/** Filters that are read in one step: a tenth of a millisecond. */
const FILTERS_PER_STEP = 128;

/**
 * decodePacket() for SUBSCRIBE and UNSUBSCRIBE, in steps: a packet may have hundreds of thousands of filters. Null for any other packet.
 * `buf` must stay as it is until the last step.
 */
export function decodeInSteps(buf: Buffer, start: number, end: number, version: ProtocolVersion): Steps<Packet> | null {
  const first = buf[start]!;
  const type = first >> 4;
  if (type !== SUBSCRIBE && type !== UNSUBSCRIBE) return null;
  checkFlags(type, first & 0x0f, version);
  const reader = bodyReader(buf, start, end);
  return type === SUBSCRIBE ? readSubscribe(reader, version) : readUnsubscribe(reader, version);
}

/**
 * Reads the packet in bytes `start..end` of `buf`, fixed header included; `end` follows from the Remaining Length.
 * Buffers in the result are views of `buf`: copy what outlives the tick.
 * @param version the version of the CONNECT; 0 before CONNECT, when no other packet is accepted [MQTT-3.1.0-1]
 * @throws ProtocolError with the reason code that the standard names; nothing else
 */
export function decodePacket(buf: Buffer, start: number, end: number, version: ProtocolVersion | 0): Packet {
  if (start >= end) malformed('packet is empty');
  const first = buf[start]!;
  const type = first >> 4;
  if (version === 0) {
    if (type !== 1) violation(`${PACKET_NAMES[type]} before CONNECT`);
    checkFlags(type, first & 0x0f, 0);
    return decodeConnect(bodyReader(buf, start, end));
  }
  if (type === PUBLISH) return decodePublish(buf, start, end, version);
  checkFlags(type, first & 0x0f, version);
  const reader = bodyReader(buf, start, end);
  switch (type) {
    case 4:
      return decodeAck('puback', reader, version);
    case 5:
      return decodeAck('pubrec', reader, version);
    case 6:
      return decodeAck('pubrel', reader, version);
    case 7:
      return decodeAck('pubcomp', reader, version);
    case 8:
      return toEnd(readSubscribe(reader, version));
    case 10:
      return toEnd(readUnsubscribe(reader, version));
    case 12:
      reader.finish();
      return { type: 'pingreq' };
    case 14:
      return decodeDisconnect(reader, version);
    case 15:
      return version === 5 ? decodeAuth(reader) : malformed('AUTH is not a packet of this version');
    case 0:
      return malformed('packet type is 0');
    default:
      return violation(type === 1 ? 'second CONNECT' : `a client may not send ${PACKET_NAMES[type]}`); // [MQTT-3.1.0-2]
  }
}

/**
 * Checks the reserved flags of the fixed header [MQTT-2.1.3-1]: 2 for PUBREL, SUBSCRIBE and UNSUBSCRIBE (in 3.1 also with DUP), otherwise
 * 0.
 */
function checkFlags(type: number, flags: number, version: ProtocolVersion | 0): void {
  if (type === 6 || type === 8 || type === 10) {
    if (flags === 2 || (flags === 0x0a && version === 3)) return;
  } else if (flags === 0) return;
  malformed(`fixed header of ${PACKET_NAMES[type]} has reserved flags`);
}

const SUBSCRIBE_PROPERTIES = [PROPERTY.subscriptionIdentifier];

/**
 * Reads a topic filter by the rules of sections 4.7 and 4.8.2. A malformed filter is data that the protocol does not allow, thus a Protocol
 * Error (section 4.13.1). The reason code 0x8F, Topic Filter invalid, is for filters that are "correctly formed" and not accepted.
 */
function readFilter(reader: ByteReader): string {
  const filter = reader.text();
  // [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.3-1] [MQTT-4.8.2-1] [MQTT-4.8.2-2]
  return parseSharedFilter(filter) === null ? violation('a topic filter is not well formed') : filter;
}

/**
 * Reads the body of SUBSCRIBE.
 * @throws ProtocolError malformedPacket, also for reserved option bits [MQTT-3.8.3-5]; protocolError for packet identifier 0, a missing
 *   filter [MQTT-3.8.3-2], a malformed filter, QoS 3, Retain Handling 3, and No Local on a shared subscription [MQTT-3.8.3-4]
 */
function* readSubscribe(reader: ByteReader, version: ProtocolVersion): Steps<SubscribePacket> {
  const packetId = reader.packetId();
  const subscriptionIdentifier =
    version === 5 ? readProperties(reader, SUBSCRIBE_PROPERTIES).number(PROPERTY.subscriptionIdentifier, 0) : 0;
  if (reader.atEnd) violation('SUBSCRIBE has no topic filter');
  const subscriptions: SubscribeRequest[] = [];
  while (!reader.atEnd) {
    subscriptions.push(readRequest(reader, version));
    if (subscriptions.length % FILTERS_PER_STEP === 0) yield;
  }
  return { type: 'subscribe', packetId, subscriptionIdentifier, subscriptions };
}

function readRequest(reader: ByteReader, version: ProtocolVersion): SubscribeRequest {
  const filter = readFilter(reader);
  const options = reader.byte();
  if ((options & (version === 5 ? 0xc0 : 0xfc)) !== 0) malformed('reserved bits of the subscription options are set');
  const qos = options & 0x03;
  if (qos === 3) return version === 5 ? violation('requested QoS is 3') : malformed('requested QoS is 3');
  const noLocal = (options & 0x04) !== 0;
  if (noLocal && (filter.startsWith('$share/') || filter.startsWith('$queue/'))) violation('No Local on a shared subscription');
  const retainHandling = (options >> 4) & 0x03;
  if (retainHandling === 3) violation('Retain Handling is 3');
  return {
    filter,
    qos: qos as QoS,
    noLocal,
    retainAsPublished: (options & 0x08) !== 0,
    retainHandling: retainHandling as 0 | 1 | 2,
  };
}

/**
 * Reads the body of UNSUBSCRIBE.
 * @throws ProtocolError malformedPacket, or protocolError for packet identifier 0, a missing filter [MQTT-3.10.3-2] and a malformed one
 */
function* readUnsubscribe(reader: ByteReader, version: ProtocolVersion): Steps<UnsubscribePacket> {
  const packetId = reader.packetId();
  if (version === 5) readProperties(reader, []);
  if (reader.atEnd) violation('UNSUBSCRIBE has no topic filter');
  const filters: string[] = [];
  while (!reader.atEnd) {
    filters.push(readFilter(reader));
    if (filters.length % FILTERS_PER_STEP === 0) yield;
  }
  return { type: 'unsubscribe', packetId, filters };
}

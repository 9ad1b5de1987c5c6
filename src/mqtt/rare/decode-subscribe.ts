/**
 * Reads SUBSCRIBE and UNSUBSCRIBE: short ones with mqtt-packet, long ones in steps by our own code, because the library reads a packet in
 * one go and a packet may have hundreds of thousands of filters.
 */

import type { Steps } from '../../kernel/turns/steps.ts';
import type { ProtocolVersion, QoS, SubscribePacket, SubscribeRequest, UnsubscribePacket } from '../packet.ts';
import { PROPERTY } from '../properties.ts';
import { ByteReader, bodyReader, malformed, violation } from '../reader.ts';
import { parseSharedFilter } from '../topic.ts';
import { parseByLibrary } from './library.ts';
import { checkProperties, type Edit, edited } from './strict.ts';

/** Filters that are read in one step: a tenth of a millisecond. */
const FILTERS_PER_STEP = 128;

const SUBSCRIBE_PROPERTIES = [PROPERTY.subscriptionIdentifier];

/**
 * Checks a topic filter by the rules of sections 4.7 and 4.8.2. A malformed filter is data that the protocol does not allow, thus a Protocol
 * Error (section 4.13.1). The reason code 0x8F, Topic Filter invalid, is for filters that are "correctly formed" and not accepted.
 */
function checkFilter(filter: string): string {
  // [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.3-1] [MQTT-4.8.2-1] [MQTT-4.8.2-2]
  return parseSharedFilter(filter) === null ? violation('a topic filter is not well formed') : filter;
}

/** @returns the options @throws ProtocolError for reserved bits [MQTT-3.8.3-5], QoS 3 and Retain Handling 3 */
function checkOptions(options: number, version: ProtocolVersion): number {
  if ((options & (version === 5 ? 0xc0 : 0xfc)) !== 0) malformed('reserved bits of the subscription options are set');
  if ((options & 0x03) === 3) return version === 5 ? violation('requested QoS is 3') : malformed('requested QoS is 3');
  if (((options >> 4) & 0x03) === 3) violation('Retain Handling is 3');
  return options;
}

/** Refuses No Local on a shared subscription [MQTT-3.8.3-4]. */
function checkUnshared(filter: string): void {
  if (filter.startsWith('$share/') || filter.startsWith('$queue/')) violation('No Local on a shared subscription');
}

/**
 * Reads the SUBSCRIBE in bytes `start..end`.
 * @throws ProtocolError as readSubscribe()
 */
export function decodeSubscribe(buf: Buffer, start: number, end: number, version: ProtocolVersion): SubscribePacket {
  const reader = bodyReader(buf, start, end);
  const packetId = reader.packetId();
  const edit: Edit | null = version === 5 ? checkProperties(reader, SUBSCRIBE_PROPERTIES).edit : null;
  if (reader.atEnd) violation('SUBSCRIBE has no topic filter');
  while (!reader.atEnd) {
    reader.skipText();
    checkOptions(reader.byte(), version);
  }
  const { properties, subscriptions } = parseByLibrary('subscribe', edited(buf, start, end, [edit]), version);
  return {
    type: 'subscribe',
    packetId,
    subscriptionIdentifier: properties?.subscriptionIdentifier ?? 0,
    subscriptions: subscriptions.map(({ topic, qos, nl = false, rap = false, rh = 0 }): SubscribeRequest => {
      if (nl) checkUnshared(topic);
      return { filter: checkFilter(topic), qos, noLocal: nl, retainAsPublished: rap, retainHandling: rh as 0 | 1 | 2 };
    }),
  };
}

/**
 * Reads the UNSUBSCRIBE in bytes `start..end`.
 * @throws ProtocolError as readUnsubscribe()
 */
export function decodeUnsubscribe(buf: Buffer, start: number, end: number, version: ProtocolVersion): UnsubscribePacket {
  const reader = bodyReader(buf, start, end);
  const packetId = reader.packetId();
  const edit: Edit | null = version === 5 ? checkProperties(reader, []).edit : null;
  if (reader.atEnd) violation('UNSUBSCRIBE has no topic filter');
  while (!reader.atEnd) reader.skipText();
  const { unsubscriptions } = parseByLibrary('unsubscribe', edited(buf, start, end, [edit]), version);
  return { type: 'unsubscribe', packetId, filters: unsubscriptions.map(checkFilter) };
}

/** The Subscription Identifier of a property block; 0: absent. */
function readIdentifier(reader: ByteReader): number {
  const at = checkProperties(reader, SUBSCRIBE_PROPERTIES).at.get(PROPERTY.subscriptionIdentifier);
  return at === undefined ? 0 : new ByteReader(reader.buf, at, reader.end).variableByteInteger();
}

/**
 * Reads the body of SUBSCRIBE.
 * @throws ProtocolError malformedPacket, also for reserved option bits [MQTT-3.8.3-5]; protocolError for packet identifier 0, a missing
 *   filter [MQTT-3.8.3-2], a malformed filter, QoS 3, Retain Handling 3, and No Local on a shared subscription [MQTT-3.8.3-4]
 */
export function* readSubscribe(reader: ByteReader, version: ProtocolVersion): Steps<SubscribePacket> {
  const packetId = reader.packetId();
  const subscriptionIdentifier = version === 5 ? readIdentifier(reader) : 0;
  if (reader.atEnd) violation('SUBSCRIBE has no topic filter');
  const subscriptions: SubscribeRequest[] = [];
  while (!reader.atEnd) {
    subscriptions.push(readRequest(reader, version));
    if (subscriptions.length % FILTERS_PER_STEP === 0) yield;
  }
  return { type: 'subscribe', packetId, subscriptionIdentifier, subscriptions };
}

function readRequest(reader: ByteReader, version: ProtocolVersion): SubscribeRequest {
  const filter = checkFilter(reader.text());
  const options = checkOptions(reader.byte(), version);
  const noLocal = (options & 0x04) !== 0;
  if (noLocal) checkUnshared(filter);
  return {
    filter,
    qos: (options & 0x03) as QoS,
    noLocal,
    retainAsPublished: (options & 0x08) !== 0,
    retainHandling: ((options >> 4) & 0x03) as 0 | 1 | 2,
  };
}

/**
 * Reads the body of UNSUBSCRIBE.
 * @throws ProtocolError malformedPacket, or protocolError for packet identifier 0, a missing filter [MQTT-3.10.3-2] and a malformed one
 */
export function* readUnsubscribe(reader: ByteReader, version: ProtocolVersion): Steps<UnsubscribePacket> {
  const packetId = reader.packetId();
  if (version === 5) checkProperties(reader, []);
  if (reader.atEnd) violation('UNSUBSCRIBE has no topic filter');
  const filters: string[] = [];
  while (!reader.atEnd) {
    filters.push(checkFilter(reader.text()));
    if (filters.length % FILTERS_PER_STEP === 0) yield;
  }
  return { type: 'unsubscribe', packetId, filters };
}

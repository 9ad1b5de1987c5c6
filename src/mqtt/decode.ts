/** Reads one whole packet from a client, strictly by the standard of its version: the hot ones by our own code, the rest with mqtt-packet. */

import type { Steps } from '../kernel/turns/steps.ts';
import { decodeAck, decodePublish } from './decode-publish.ts';
import type { Packet, ProtocolVersion } from './packet.ts';
import { decodeAuth, decodeConnect, decodeDisconnect } from './rare/decode-connect.ts';
import { decodeSubscribe, decodeUnsubscribe, readSubscribe, readUnsubscribe } from './rare/decode-subscribe.ts';
import { checkFlags } from './rare/strict.ts';
import { bodyReader, malformed, violation } from './reader.ts';

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

/**
 * decodePacket() for SUBSCRIBE and UNSUBSCRIBE, in steps: a packet may have hundreds of thousands of filters. Null for any other packet.
 * `buf` must stay as it is until the last step.
 */
export function decodeInSteps(buf: Buffer, start: number, end: number, version: ProtocolVersion): Steps<Packet> | null {
  const first = buf[start]!;
  const type = first >> 4;
  if (type !== SUBSCRIBE && type !== UNSUBSCRIBE) return null;
  checkFlags(type, first & 0x0f, version, PACKET_NAMES[type]!);
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
    checkFlags(type, first & 0x0f, 0, PACKET_NAMES[type]!);
    return decodeConnect(buf, start, end);
  }
  if (type === PUBLISH) return decodePublish(buf, start, end, version);
  checkFlags(type, first & 0x0f, version, PACKET_NAMES[type]!);
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
      return decodeSubscribe(buf, start, end, version);
    case 10:
      return decodeUnsubscribe(buf, start, end, version);
    case 12:
      reader.finish();
      return { type: 'pingreq' };
    case 14:
      return decodeDisconnect(buf, start, end, version);
    case 15:
      return version === 5 ? decodeAuth(buf, start, end) : malformed('AUTH is not a packet of this version');
    case 0:
      return malformed('packet type is 0');
    default:
      return violation(type === 1 ? 'second CONNECT' : `a client may not send ${PACKET_NAMES[type]}`); // [MQTT-3.1.0-2]
  }
}

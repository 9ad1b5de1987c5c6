/** Writes the packets that a server sends, except PUBLISH and its acknowledgements. */

import { remainingLengthSize, writeRemainingLength } from './framer.ts';
import type { ProtocolVersion, UserProperties } from './packet.ts';
import { PROPERTY } from './properties.ts';
import { REASON } from './reason-codes.ts';

/** The answer to PINGREQ. All clients share the buffer: never write to it. */
export const PINGRESP: Buffer = Buffer.from([0xd0, 0x00]);

const EMPTY = Buffer.alloc(0);

/** `size` bytes, big-endian. @throws RangeError when the value does not fit */
function uint(value: number, size: 1 | 2 | 4): Buffer {
  const bytes = Buffer.allocUnsafe(size);
  bytes.writeUIntBE(value, 0, size);
  return bytes;
}

/** Binary Data. @throws RangeError over 65535 bytes */
function binary(value: Buffer): Buffer {
  return Buffer.concat([uint(value.length, 2), value]);
}

/** UTF-8 Encoded String. @throws RangeError over 65535 bytes */
function text(value: string): Buffer {
  return binary(Buffer.from(value, 'utf8'));
}

/** One property. Property blocks are built from these functions; an absent value takes no bytes. */
function integerProperty(id: number, size: 1 | 2 | 4, value: number | boolean | undefined): Buffer {
  return value === undefined ? EMPTY : Buffer.concat([uint(id, 1), uint(Number(value), size)]);
}

function textProperty(id: number, value: string | undefined): Buffer {
  return value === undefined ? EMPTY : Buffer.concat([uint(id, 1), text(value)]);
}

function binaryProperty(id: number, value: Buffer | undefined): Buffer {
  return value === undefined ? EMPTY : Buffer.concat([uint(id, 1), binary(value)]);
}

function userProperties(values: UserProperties | undefined): Buffer {
  const parts = (values ?? []).map(([name, value]) => Buffer.concat([uint(PROPERTY.userProperty, 1), text(name), text(value)]));
  return Buffer.concat(parts);
}

/** A property block: its length, then the properties. */
function propertyBlock(...parts: Buffer[]): Buffer {
  return withLength([], parts);
}

/** A whole packet: first byte, Remaining Length, body. */
function packet(firstByte: number, ...body: Buffer[]): Buffer {
  return withLength([firstByte], body);
}

function withLength(head: number[], parts: Buffer[]): Buffer {
  const body = parts.reduce((sum, part) => sum + part.length, 0);
  const length = Buffer.allocUnsafe(remainingLengthSize(body));
  writeRemainingLength(length, 0, body);
  return Buffer.concat([Buffer.from(head), length, ...parts]);
}

/** Properties of CONNACK; absent = not sent. Intervals in seconds, sizes in bytes. */
export interface ConnackProperties {
  sessionExpiryInterval?: number;
  receiveMaximum?: number;
  maximumQoS?: 0 | 1;
  retainAvailable?: boolean;
  maximumPacketSize?: number;
  assignedClientIdentifier?: string;
  topicAliasMaximum?: number;
  reasonString?: string;
  wildcardSubscriptionAvailable?: boolean;
  subscriptionIdentifiersAvailable?: boolean;
  sharedSubscriptionAvailable?: boolean;
  serverKeepAlive?: number;
  responseInformation?: string;
  serverReference?: string;
  authenticationMethod?: string;
  authenticationData?: Buffer;
  userProperties?: UserProperties;
}

export interface Connack {
  sessionPresent: boolean;
  /** MQTT 5 reason code for every version */
  reasonCode: number;
  properties?: ConnackProperties;
}

/**
 * CONNACK. Versions before 5 get the return code of `connackReturnCode` and no properties; Session Present is 0 with an
 * error [MQTT-3.2.2-6] and in 3.1, which has no such flag.
 */
export function encodeConnack(version: ProtocolVersion, { sessionPresent, reasonCode, properties = {} }: Connack): Buffer {
  const flags = sessionPresent && reasonCode === 0 && version > 3 ? 1 : 0;
  if (version < 5) return Buffer.from([0x20, 2, flags, connackReturnCode(reasonCode)]);
  const p = properties;
  const block = propertyBlock(
    integerProperty(PROPERTY.sessionExpiryInterval, 4, p.sessionExpiryInterval),
    integerProperty(PROPERTY.receiveMaximum, 2, p.receiveMaximum),
    integerProperty(PROPERTY.maximumQoS, 1, p.maximumQoS),
    integerProperty(PROPERTY.retainAvailable, 1, p.retainAvailable),
    integerProperty(PROPERTY.maximumPacketSize, 4, p.maximumPacketSize),
    textProperty(PROPERTY.assignedClientIdentifier, p.assignedClientIdentifier),
    integerProperty(PROPERTY.topicAliasMaximum, 2, p.topicAliasMaximum),
    textProperty(PROPERTY.reasonString, p.reasonString),
    integerProperty(PROPERTY.wildcardSubscriptionAvailable, 1, p.wildcardSubscriptionAvailable),
    integerProperty(PROPERTY.subscriptionIdentifiersAvailable, 1, p.subscriptionIdentifiersAvailable),
    integerProperty(PROPERTY.sharedSubscriptionAvailable, 1, p.sharedSubscriptionAvailable),
    integerProperty(PROPERTY.serverKeepAlive, 2, p.serverKeepAlive),
    textProperty(PROPERTY.responseInformation, p.responseInformation),
    textProperty(PROPERTY.serverReference, p.serverReference),
    textProperty(PROPERTY.authenticationMethod, p.authenticationMethod),
    binaryProperty(PROPERTY.authenticationData, p.authenticationData),
    userProperties(p.userProperties),
  );
  return packet(0x20, Buffer.from([flags, reasonCode]), block);
}

/**
 * The return code for a client before MQTT 5 (3.1.1 section 3.2.2.3): 0 accepted, 1 version, 2 identifier, 3 unavailable, 4 credentials, 5
 * not authorized.
 */
export function connackReturnCode(reasonCode: number): number {
  switch (reasonCode) {
    case REASON.success:
      return 0;
    case REASON.unsupportedProtocolVersion:
      return 1;
    case REASON.clientIdentifierNotValid:
      return 2;
    case REASON.badUserNameOrPassword:
    case REASON.badAuthenticationMethod:
      return 4;
    case REASON.notAuthorized:
    case REASON.banned:
    case REASON.topicNameInvalid:
    case REASON.retainNotSupported:
    case REASON.qosNotSupported:
      return 5;
    default:
      return 3;
  }
}

/** SUBACK with one MQTT 5 code for each filter, in the order of the filters [MQTT-3.9.3-1]; before MQTT 5 every failure is 0x80. */
export function encodeSuback(version: ProtocolVersion, packetId: number, codes: readonly number[], reasonString?: string): Buffer {
  if (version < 5) return packet(0x90, uint(packetId, 2), Buffer.from(codes.map((code) => Math.min(code, 0x80))));
  const block = propertyBlock(textProperty(PROPERTY.reasonString, reasonString));
  return packet(0x90, uint(packetId, 2), block, Buffer.from(codes));
}

/** UNSUBACK with one MQTT 5 code for each filter, in the order of the filters [MQTT-3.11.3-1]; before MQTT 5 it has no codes. */
export function encodeUnsuback(version: ProtocolVersion, packetId: number, codes: readonly number[]): Buffer {
  if (version < 5) return packet(0xb0, uint(packetId, 2));
  return packet(0xb0, uint(packetId, 2), propertyBlock(), Buffer.from(codes));
}

export interface DisconnectOptions {
  reasonString?: string;
  serverReference?: string;
}

/** DISCONNECT of MQTT 5; a server of an earlier version cannot send one. */
export function encodeDisconnect(reasonCode: number, { reasonString, serverReference }: DisconnectOptions = {}): Buffer {
  const properties = [textProperty(PROPERTY.reasonString, reasonString), textProperty(PROPERTY.serverReference, serverReference)];
  if (properties.every((part) => part.length === 0)) return Buffer.from([0xe0, 1, reasonCode]);
  return packet(0xe0, uint(reasonCode, 1), propertyBlock(...properties));
}

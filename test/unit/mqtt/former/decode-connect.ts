/** The decoder of CONNECT, AUTH and DISCONNECT before mqtt-packet read them: an oracle for the present one. */

import { ProtocolError } from '../../../../src/mqtt/errors.ts';
import type { AuthPacket, ConnectPacket, DisconnectPacket, ProtocolVersion, QoS, Will } from '../../../../src/mqtt/packet.ts';
import { PROPERTY, readPublishProperties } from '../../../../src/mqtt/properties.ts';
import { type ByteReader, malformed, violation } from '../../../../src/mqtt/reader.ts';
import { REASON } from '../../../../src/mqtt/reason-codes.ts';
import { checkTopicName } from '../../../../src/mqtt/topic.ts';
import { type PropertyBlock, readProperties } from './properties.ts';

const NEVER_EXPIRES = 0xffff_ffff;
const CONNECT_PROPERTIES = [
  PROPERTY.sessionExpiryInterval,
  PROPERTY.receiveMaximum,
  PROPERTY.maximumPacketSize,
  PROPERTY.topicAliasMaximum,
  PROPERTY.requestResponseInformation,
  PROPERTY.requestProblemInformation,
  PROPERTY.authenticationMethod,
  PROPERTY.authenticationData,
];

/** Reads protocol name and level. The name of MQTT 3.1 differs from that of later versions [MQTT-3.1.2-1] [MQTT-3.1.2-2]. */
function readVersion(reader: ByteReader): ProtocolVersion {
  const name = reader.binary().toString('latin1');
  const level = reader.byte();
  if (name === 'MQTT' && (level === 4 || level === 5)) return level;
  if (name === 'MQIsdp' && level === 3) return 3;
  throw new ProtocolError(REASON.unsupportedProtocolVersion, 'protocol name or level is not supported');
}

/** The connect flags, the byte behind the protocol level. */
interface ConnectFlags {
  cleanStart: boolean;
  will: boolean;
  willQoS: number;
  willRetain: boolean;
  username: boolean;
  password: boolean;
}

function readFlags(reader: ByteReader, version: ProtocolVersion): ConnectFlags {
  const bits = reader.byte();
  // Bit 0 is reserved since 3.1.1 [MQTT-3.1.2-3]; 3.1 called it unused.
  if ((bits & 0x01) !== 0 && version > 3) malformed('reserved connect flag is set');
  const flags: ConnectFlags = {
    cleanStart: (bits & 0x02) !== 0,
    will: (bits & 0x04) !== 0,
    willQoS: (bits >> 3) & 0x03,
    willRetain: (bits & 0x20) !== 0,
    password: (bits & 0x40) !== 0,
    username: (bits & 0x80) !== 0,
  };
  // [MQTT-3.1.2-11] to [MQTT-3.1.2-15]
  if (flags.willQoS === 3) malformed('will QoS is 3');
  if (!flags.will && (flags.willQoS !== 0 || flags.willRetain)) malformed('will QoS or will retain without a will');
  // [MQTT-3.1.2-22] of 3.1.1; MQTT 5 allows a password alone.
  if (flags.password && !flags.username && version < 5) malformed('password without user name');
  return flags;
}

function readWill(reader: ByteReader, flags: ConnectFlags, version: ProtocolVersion): Will | null {
  if (!flags.will) return null;
  let willDelayInterval = 0;
  let properties: Will['properties'] = null;
  if (version === 5) {
    properties = readPublishProperties(reader, (seconds) => {
      willDelayInterval = seconds;
    });
  }
  const topic = reader.text();
  if (!checkTopicName(topic)) throw new ProtocolError(REASON.topicNameInvalid, 'will topic is empty or has wildcards');
  const payload = reader.binary();
  return { topic, payload, qos: flags.willQoS as QoS, retain: flags.willRetain, willDelayInterval, properties };
}

function readClientId(reader: ByteReader, version: ProtocolVersion, cleanStart: boolean): string {
  const clientId = reader.text();
  // [MQTT-3.1.3-8] of 3.1.1; 3.1 forbids an empty identifier. Its limit of 23 characters is not enforced.
  if (clientId === '' && (version === 3 || (version === 4 && !cleanStart))) {
    throw new ProtocolError(REASON.clientIdentifierNotValid, 'client identifier is empty');
  }
  return clientId;
}

/** Session Expiry Interval, seconds. Before MQTT 5 a session ends with its connection or never. */
function sessionExpiry(version: ProtocolVersion, cleanStart: boolean, properties: PropertyBlock | null): number {
  if (version < 5) return cleanStart ? 0 : NEVER_EXPIRES;
  return properties?.number(PROPERTY.sessionExpiryInterval, 0) ?? 0;
}

/** Reads the authentication properties. Authentication Data without Authentication Method is a Protocol Error. */
function readAuthentication(properties: PropertyBlock | null): Pick<AuthPacket, 'authenticationMethod' | 'authenticationData'> {
  const authenticationMethod = properties?.text(PROPERTY.authenticationMethod) ?? null;
  const authenticationData = properties?.binary(PROPERTY.authenticationData) ?? null;
  if (authenticationData !== null && authenticationMethod === null) violation('authentication data without authentication method');
  return { authenticationMethod, authenticationData };
}

/**
 * Reads the body of CONNECT. Buffers in the result are views of the input.
 * @throws ProtocolError unsupportedProtocolVersion, clientIdentifierNotValid for an empty identifier that the version forbids,
 *   topicNameInvalid for the will topic, malformedPacket, protocolError
 */
export function decodeConnect(reader: ByteReader): ConnectPacket {
  const version = readVersion(reader);
  const flags = readFlags(reader, version);
  const keepAlive = reader.uint16();
  const properties = version === 5 ? readProperties(reader, CONNECT_PROPERTIES) : null;
  const authentication = readAuthentication(properties);
  const clientId = readClientId(reader, version, flags.cleanStart);
  const will = readWill(reader, flags, version);
  // In 3.1 the packet length wins over the flags: a flagged field at the end may be absent.
  const present = (announced: boolean): boolean => announced && !(version === 3 && reader.atEnd);
  const username = present(flags.username) ? reader.text() : null;
  const password = present(flags.password) ? reader.binary() : null;
  reader.finish();
  return {
    type: 'connect',
    protocolVersion: version,
    cleanStart: flags.cleanStart,
    keepAlive,
    clientId,
    username,
    password,
    will,
    sessionExpiryInterval: sessionExpiry(version, flags.cleanStart, properties),
    receiveMaximum: properties?.number(PROPERTY.receiveMaximum, 65_535) ?? 65_535,
    maximumPacketSize: properties?.number(PROPERTY.maximumPacketSize, 0) ?? 0,
    topicAliasMaximum: properties?.number(PROPERTY.topicAliasMaximum, 0) ?? 0,
    requestResponseInformation: properties?.number(PROPERTY.requestResponseInformation, 0) === 1,
    requestProblemInformation: properties?.number(PROPERTY.requestProblemInformation, 1) !== 0,
    ...authentication,
  };
}

/** The reason codes that a client may send (section 3.14.2.1). */
const DISCONNECT_CODES = [0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99];
const DISCONNECT_PROPERTIES = [PROPERTY.sessionExpiryInterval, PROPERTY.reasonString];

/**
 * Reads the body of DISCONNECT. MQTT 5 allows leaving out the reason code and the properties.
 * @throws ProtocolError malformedPacket, or protocolError for a reason code that no client may send [MQTT-3.14.2-1]
 */
export function decodeDisconnect(reader: ByteReader, version: ProtocolVersion): DisconnectPacket {
  let reasonCode = 0;
  let sessionExpiryInterval: number | null = null;
  if (version === 5 && !reader.atEnd) {
    reasonCode = reader.byte();
    if (!DISCONNECT_CODES.includes(reasonCode)) violation(`reason code ${reasonCode} is not allowed in DISCONNECT`);
    if (!reader.atEnd) {
      sessionExpiryInterval = readProperties(reader, DISCONNECT_PROPERTIES).number(PROPERTY.sessionExpiryInterval, null);
    }
  }
  reader.finish();
  return { type: 'disconnect', reasonCode, sessionExpiryInterval };
}

const AUTH_PROPERTIES = [PROPERTY.authenticationMethod, PROPERTY.authenticationData, PROPERTY.reasonString];

/**
 * Reads the body of AUTH.
 * @throws ProtocolError malformedPacket, or protocolError for a missing Authentication Method and for a reason code other than 0x18 and
 *   0x19 [MQTT-3.15.2-1]; only a server may send 0x00
 */
export function decodeAuth(reader: ByteReader): AuthPacket {
  const reasonCode = reader.atEnd ? REASON.success : reader.byte();
  if (reasonCode !== REASON.continueAuthentication && reasonCode !== REASON.reAuthenticate) {
    violation(`reason code ${reasonCode} is not allowed in AUTH`);
  }
  const authentication = readAuthentication(readProperties(reader, AUTH_PROPERTIES));
  if (authentication.authenticationMethod === null) violation('AUTH has no authentication method');
  reader.finish();
  return { type: 'auth', reasonCode, ...authentication };
}

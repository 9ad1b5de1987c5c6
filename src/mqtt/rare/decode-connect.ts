/** Reads the packets that begin, authenticate and end a connection, CONNECT, AUTH and DISCONNECT: checks them, and takes their values from mqtt-packet. */

import { ProtocolError } from '../errors.ts';
import { readRemainingLength, remainingLengthSize } from '../framer.ts';
import type { AuthPacket, ConnectPacket, DisconnectPacket, ProtocolVersion, QoS, Will } from '../packet.ts';
import { blockEnd, PROPERTY, readPublishProperties } from '../properties.ts';
import { ByteReader, bodyReader, malformed, violation } from '../reader.ts';
import { REASON } from '../reason-codes.ts';
import { hasWildcardBytes } from '../topic.ts';
import { parseByLibrary } from './library.ts';
import { type CheckedProperties, checkProperties, type Edit, edited } from './strict.ts';

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

/**
 * Some bridges mark themselves with this bit of the level. They retry without the bit when the refusal has the return code of their
 * version.
 */
const BRIDGE_BIT = 0x80;

/**
 * The version in which to refuse a CONNECT: its own if readable, 5 for a higher level, otherwise 4. Never throws.
 * @param buf the packet begins at `start`, and may have come only up to `end`
 */
export function answerVersion(buf: Buffer, start: number, end: number): ProtocolVersion {
  try {
    const length = readRemainingLength(buf, start + 1, end);
    if (length < 0) return 4;
    const reader = new ByteReader(buf, start + 1 + remainingLengthSize(length), end);
    const name = reader.binary().toString('latin1');
    const level = reader.byte();
    if (name === 'MQIsdp') return 3;
    return (level & ~BRIDGE_BIT) >= 5 ? 5 : 4;
  } catch {
    return 4; // too short to tell: the caller closes without an answer, as the standards have it
  }
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

/** The parts of a will that the library does not read. */
type WillProperties = Pick<Will, 'willDelayInterval' | 'properties'>;

/** Checks the will [MQTT-3.1.3-11], and reads its properties, which are forwarded as bytes (gap 7). */
function checkWill(reader: ByteReader, version: ProtocolVersion): WillProperties {
  let willDelayInterval = 0;
  let properties: Will['properties'] = null;
  if (version === 5) {
    properties = readPublishProperties(reader, (seconds) => {
      willDelayInterval = seconds;
    });
  }
  const from = reader.skipText();
  if (from === reader.pos || hasWildcardBytes(reader.buf, from, reader.pos))
    throw new ProtocolError(REASON.topicNameInvalid, 'will topic is empty or has wildcards');
  reader.skip(reader.uint16());
  return { willDelayInterval, properties };
}

function checkClientId(reader: ByteReader, version: ProtocolVersion, cleanStart: boolean): void {
  const from = reader.skipText();
  // [MQTT-3.1.3-8] of 3.1.1; 3.1 forbids an empty identifier. Its limit of 23 characters is not enforced.
  if (from === reader.pos && (version === 3 || (version === 4 && !cleanStart))) {
    throw new ProtocolError(REASON.clientIdentifierNotValid, 'client identifier is empty');
  }
}

/** Authentication Data without Authentication Method is a Protocol Error (section 3.1.2.11.10). */
function checkAuthentication({ at }: CheckedProperties): void {
  if (at.has(PROPERTY.authenticationData) && !at.has(PROPERTY.authenticationMethod)) {
    violation('authentication data without authentication method');
  }
}

/** Session Expiry Interval, seconds. Before MQTT 5 a session ends with its connection or never. */
function sessionExpiry(version: ProtocolVersion, cleanStart: boolean, interval: number | undefined): number {
  if (version < 5) return cleanStart ? 0 : NEVER_EXPIRES;
  return interval ?? 0;
}

/** A checked CONNECT: what the library is to see, and what it does not read. */
interface CheckedConnect {
  readonly version: ProtocolVersion;
  readonly flags: ConnectFlags;
  readonly will: WillProperties | null;
  readonly edits: readonly (Edit | null)[];
}

/**
 * @throws ProtocolError unsupportedProtocolVersion, clientIdentifierNotValid for an empty identifier that the version forbids,
 *   topicNameInvalid for the will topic, malformedPacket, protocolError
 */
function checkConnect(reader: ByteReader): CheckedConnect {
  const version = readVersion(reader);
  const flagsAt = reader.pos;
  const flags = readFlags(reader, version);
  reader.uint16();
  const properties = version === 5 ? checkProperties(reader, CONNECT_PROPERTIES) : null;
  if (properties !== null) checkAuthentication(properties);
  checkClientId(reader, version, flags.cleanStart);
  let willEdit: Edit | null = null;
  let will: WillProperties | null = null;
  if (flags.will) {
    const from = reader.pos;
    will = checkWill(reader, version);
    // The library gets a will without properties.
    if (will.properties !== null) willEdit = { from, to: blockEndAt(reader, from), bytes: [Buffer.alloc(1)] };
  }
  // In 3.1 the packet length wins over the flags: a flagged field at the end may be absent (gap 10).
  const present = (announced: boolean): boolean => announced && !(version === 3 && reader.atEnd);
  const hasUsername = present(flags.username);
  if (hasUsername) reader.skipText();
  const hasPassword = present(flags.password);
  if (hasPassword) reader.skip(reader.uint16());
  reader.finish();
  const bits = reader.buf[flagsAt]!;
  const seen = (bits & 0x3e) | (hasUsername ? 0x80 : 0) | (hasPassword ? 0x40 : 0);
  const flagsEdit = seen === bits ? null : { from: flagsAt, to: flagsAt + 1, bytes: [Buffer.from([seen])] };
  return { version, flags, will, edits: [flagsEdit, properties?.edit ?? null, willEdit] };
}

/** The end of the property block that begins at `at`; the block has been checked. */
function blockEndAt({ buf, end }: ByteReader, at: number): number {
  return blockEnd(new ByteReader(buf, at, end));
}

/**
 * Reads the CONNECT in bytes `start..end` of `buf`. Buffers in the result are views of the input.
 * @throws ProtocolError as checkConnect()
 */
export function decodeConnect(buf: Buffer, start: number, end: number): ConnectPacket {
  const { version, flags, will, edits } = checkConnect(bodyReader(buf, start, end));
  const packet = parseByLibrary('connect', edited(buf, start, end, edits), 0);
  const { properties = {} } = packet;
  return {
    type: 'connect',
    protocolVersion: version,
    cleanStart: flags.cleanStart,
    keepAlive: packet.keepalive ?? 0,
    clientId: packet.clientId,
    username: packet.username ?? null,
    password: packet.password ?? null,
    will:
      packet.will === undefined || will === null
        ? null
        : {
            topic: packet.will.topic,
            payload: packet.will.payload as Buffer,
            qos: flags.willQoS as QoS,
            retain: flags.willRetain,
            ...will,
          },
    sessionExpiryInterval: sessionExpiry(version, flags.cleanStart, properties.sessionExpiryInterval),
    receiveMaximum: properties.receiveMaximum ?? 65_535,
    maximumPacketSize: properties.maximumPacketSize ?? 0,
    topicAliasMaximum: properties.topicAliasMaximum ?? 0,
    requestResponseInformation: properties.requestResponseInformation ?? false,
    requestProblemInformation: properties.requestProblemInformation ?? true,
    authenticationMethod: properties.authenticationMethod ?? null,
    authenticationData: properties.authenticationData ?? null,
  };
}

/** The reason codes that a client may send (section 3.14.2.1). */
const DISCONNECT_CODES = [0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99];
const DISCONNECT_PROPERTIES = [PROPERTY.sessionExpiryInterval, PROPERTY.reasonString];

/**
 * Reads the DISCONNECT in bytes `start..end`. MQTT 5 allows leaving out the reason code and the properties.
 * @throws ProtocolError malformedPacket, or protocolError for a reason code that no client may send [MQTT-3.14.2-1]
 */
export function decodeDisconnect(buf: Buffer, start: number, end: number, version: ProtocolVersion): DisconnectPacket {
  const reader = bodyReader(buf, start, end);
  // The usual one holds nothing to read.
  if (reader.atEnd) return { type: 'disconnect', reasonCode: 0, sessionExpiryInterval: null };
  let edit: Edit | null = null;
  if (version === 5) {
    const reasonCode = reader.byte();
    if (!DISCONNECT_CODES.includes(reasonCode)) violation(`reason code ${reasonCode} is not allowed in DISCONNECT`);
    if (!reader.atEnd) edit = checkProperties(reader, DISCONNECT_PROPERTIES).edit;
  }
  reader.finish();
  const { reasonCode = 0, properties = {} } = parseByLibrary('disconnect', edited(buf, start, end, [edit]), version);
  return { type: 'disconnect', reasonCode, sessionExpiryInterval: properties.sessionExpiryInterval ?? null };
}

const AUTH_PROPERTIES = [PROPERTY.authenticationMethod, PROPERTY.authenticationData, PROPERTY.reasonString];

/**
 * Reads the AUTH of MQTT 5 in bytes `start..end`.
 * @throws ProtocolError malformedPacket, or protocolError for a missing Authentication Method and for a reason code other than 0x18 and
 *   0x19 [MQTT-3.15.2-1]; only a server may send 0x00
 */
export function decodeAuth(buf: Buffer, start: number, end: number): AuthPacket {
  const reader = bodyReader(buf, start, end);
  const reasonCode = reader.atEnd ? REASON.success : reader.byte();
  if (reasonCode !== REASON.continueAuthentication && reasonCode !== REASON.reAuthenticate) {
    violation(`reason code ${reasonCode} is not allowed in AUTH`);
  }
  const checked = checkProperties(reader, AUTH_PROPERTIES);
  if (!checked.at.has(PROPERTY.authenticationMethod)) {
    checkAuthentication(checked);
    violation('AUTH has no authentication method');
  }
  reader.finish();
  const { properties = {} } = parseByLibrary('auth', edited(buf, start, end, [checked.edit]), 5);
  return {
    type: 'auth',
    reasonCode,
    authenticationMethod: properties.authenticationMethod ?? null,
    authenticationData: properties.authenticationData ?? null,
  };
}

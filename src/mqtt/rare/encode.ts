/**
 * Writes the rare packets of a server with mqtt-packet: CONNACK, SUBACK, UNSUBACK, DISCONNECT and AUTH. The gaps of the library are filled here, gap by
 * gap. The packets of the hot path are written by encode-publish.ts.
 */

import type { ProtocolVersion } from '../packet.ts';
import { REASON } from '../reason-codes.ts';
import { writeByLibrary } from './library.ts';

/** The answer to PINGREQ. All clients share the buffer: never write to it. */
export const PINGRESP: Buffer = Buffer.from([0xd0, 0x00]);

const TEXT_BYTES_MAX = 65_535;

/** Gap: the library writes a text of more than 65535 bytes with a wrong length. @throws RangeError for such a text */
function checkTexts(properties: object): void {
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === 'string' && Buffer.byteLength(value) > TEXT_BYTES_MAX) {
      throw new RangeError(`${name} is longer than ${TEXT_BYTES_MAX} bytes`);
    }
  }
}

/** Properties of CONNACK; absent = not sent. Intervals in seconds, sizes in bytes. */
export interface ConnackProperties {
  receiveMaximum?: number;
  maximumPacketSize?: number;
  assignedClientIdentifier?: string;
  topicAliasMaximum?: number;
  reasonString?: string;
  serverKeepAlive?: number;
  authenticationMethod?: string;
  authenticationData?: Buffer;
}

export interface Connack {
  sessionPresent: boolean;
  /** MQTT 5 reason code for every version */
  reasonCode: number;
  properties?: ConnackProperties;
}

/** The few CONNACKs of versions before 5, by return code and Session Present. */
const plainConnacks = new Map<number, Buffer>();
/** The last CONNACK of MQTT 5: clients of an endpoint get the same limits. */
let lastConnack: { readonly fields: Connack; readonly bytes: Buffer } | null = null;

/**
 * CONNACK. Versions before 5 get the return code of `connackReturnCode` and no properties; Session Present is 0 with an
 * error [MQTT-3.2.2-6] and in 3.1, which has no such flag. Clients share the buffer: never write to it.
 */
export function encodeConnack(version: ProtocolVersion, { sessionPresent, reasonCode, properties = {} }: Connack): Buffer {
  const isPresent = sessionPresent && reasonCode === 0 && version > 3;
  return version < 5
    ? plainConnack(isPresent, connackReturnCode(reasonCode))
    : connackWith({ sessionPresent: isPresent, reasonCode, properties });
}

function plainConnack(sessionPresent: boolean, returnCode: number): Buffer {
  const key = returnCode * 2 + Number(sessionPresent);
  let bytes = plainConnacks.get(key);
  if (bytes === undefined) {
    bytes = writeByLibrary({ cmd: 'connack', sessionPresent, returnCode }, 4);
    plainConnacks.set(key, bytes);
  }
  return bytes;
}

function connackWith(fields: Required<Connack>): Buffer {
  if (lastConnack !== null && isSameConnack(lastConnack.fields, fields)) return lastConnack.bytes;
  checkTexts(fields.properties);
  const bytes = writeByLibrary({ cmd: 'connack', ...fields }, 5);
  // A proof is of one client.
  if (fields.properties.authenticationData !== undefined) return bytes;
  lastConnack = { fields: { ...fields, properties: { ...fields.properties } }, bytes };
  return bytes;
}

function isSameConnack(a: Connack, b: Connack): boolean {
  if (a.sessionPresent !== b.sessionPresent || a.reasonCode !== b.reasonCode) return false;
  const [one, other] = [a.properties ?? {}, b.properties ?? {}];
  return (
    one.receiveMaximum === other.receiveMaximum &&
    one.maximumPacketSize === other.maximumPacketSize &&
    one.assignedClientIdentifier === other.assignedClientIdentifier &&
    one.topicAliasMaximum === other.topicAliasMaximum &&
    one.reasonString === other.reasonString &&
    one.serverKeepAlive === other.serverKeepAlive &&
    one.authenticationData === other.authenticationData
  );
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
export function encodeSuback(version: ProtocolVersion, packetId: number, codes: readonly number[]): Buffer {
  const granted = version < 5 ? codes.map((code) => Math.min(code, 0x80)) : [...codes];
  return writeByLibrary({ cmd: 'suback', messageId: packetId, granted }, version);
}

/** UNSUBACK with one MQTT 5 code for each filter, in the order of the filters [MQTT-3.11.3-1]; before MQTT 5 it has no codes. */
export function encodeUnsuback(version: ProtocolVersion, packetId: number, codes: readonly number[]): Buffer {
  return writeByLibrary({ cmd: 'unsuback', messageId: packetId, granted: [...codes] }, version);
}

export interface DisconnectOptions {
  reasonString?: string;
  serverReference?: string;
}

/** DISCONNECT of MQTT 5; a server of an earlier version cannot send one. */
export function encodeDisconnect(reasonCode: number, properties: DisconnectOptions = {}): Buffer {
  // Gap: the library never leaves out a Property Length of 0, and a small Maximum Packet Size may have no room for it.
  if (Object.values(properties).every((value) => value === undefined)) return Buffer.from([0xe0, 1, reasonCode]);
  checkTexts(properties);
  return writeByLibrary({ cmd: 'disconnect', reasonCode, properties }, 5);
}

/** Properties of AUTH. */
export interface AuthProperties {
  authenticationMethod: string;
  authenticationData: Buffer;
}

/** AUTH of MQTT 5. */
export function encodeAuth(reasonCode: number, properties: AuthProperties): Buffer {
  return writeByLibrary({ cmd: 'auth', reasonCode, properties: { ...properties } }, 5);
}

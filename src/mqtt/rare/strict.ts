/**
 * Checks of the standard that mqtt-packet does not make, ahead of its parser. Each function names the rules. The gaps of the library, which
 * could all be closed there:
 *
 * 1. Text is decoded with U+FFFD for what is not UTF-8; U+0000 is let in [MQTT-1.5.4-1] [MQTT-1.5.4-2].
 * 2. A Variable Byte Integer may be longer than needed [MQTT-1.5.5-1].
 * 3. A property that appears twice becomes an array, or replaces a first value of 0 or '' (section 2.2.2.2).
 * 4. A property is let in wherever it stands, and with any value: Receive Maximum 0, a flag of 2 (section 2.2.2.2).
 * 5. A property, a field and a list may end behind the end of their block or packet; bytes behind the last field are ignored.
 * 6. All user properties are built, though no packet read here has a use for them: 800,000 hold a thread for half a second.
 * 7. User properties of a will lose their order [MQTT-3.3.2-18], so the properties that a will forwards stay bytes.
 * 8. Packet identifier 0, no filter at all, No Local on a shared subscription, and ill-formed filters are let in [MQTT-2.2.1-3]
 *    [MQTT-3.8.3-2] [MQTT-3.8.3-4] [MQTT-4.7.3-1].
 * 9. Reason codes that only a server may send are let in [MQTT-3.14.2-1] [MQTT-3.15.2-1].
 * 10. MQTT 3.1: DUP on SUBSCRIBE and UNSUBSCRIBE, connect flag bit 0, and a field that its flag announces and that is absent are refused.
 */

import { readRemainingLength, remainingLengthSize, writeRemainingLength } from '../framer.ts';
import type { ProtocolVersion } from '../packet.ts';
import { blockEnd, PROPERTY, skipUserProperties } from '../properties.ts';
import { type ByteReader, malformed, violation } from '../reader.ts';

/** Bytes of a packet that the library is to see instead of those sent. */
export interface Edit {
  readonly from: number;
  readonly to: number;
  readonly bytes: readonly Buffer[];
}

function flag(reader: ByteReader): void {
  if (reader.byte() > 1) violation('a property that must be 0 or 1 has another value');
}

function notZero(value: number): void {
  if (value === 0) violation('a property that must not be 0 is 0');
}

const CHECKS: Record<number, (reader: ByteReader) => void> = {
  [PROPERTY.subscriptionIdentifier]: (reader) => notZero(reader.variableByteInteger()),
  [PROPERTY.sessionExpiryInterval]: (reader) => reader.uint32(),
  [PROPERTY.authenticationMethod]: (reader) => reader.skipText(),
  [PROPERTY.authenticationData]: (reader) => reader.skip(reader.uint16()),
  [PROPERTY.requestProblemInformation]: flag,
  [PROPERTY.requestResponseInformation]: flag,
  [PROPERTY.reasonString]: (reader) => reader.skipText(),
  [PROPERTY.receiveMaximum]: (reader) => notZero(reader.uint16()),
  [PROPERTY.topicAliasMaximum]: (reader) => reader.uint16(),
  [PROPERTY.maximumPacketSize]: (reader) => notZero(reader.uint32()),
};

/** The properties of a packet, checked. */
export interface CheckedProperties {
  /** identifier → position of the value */
  readonly at: ReadonlyMap<number, number>;
  /** takes the user properties out (gap 6); null: there are none */
  readonly edit: Edit | null;
}

const NONE: CheckedProperties = { at: new Map(), edit: null };

/**
 * Checks a whole property block with its length (gaps 1 to 5). User properties are always allowed.
 * @param allowed identifiers that this packet type may have
 * @throws ProtocolError malformedPacket for an unknown identifier or one of another packet type (section 2.2.2.2), and for
 *   overruns; protocolError for duplicates and for values that the standard forbids; quotaExceeded for too many user properties
 */
export function checkProperties(reader: ByteReader, allowed: readonly number[]): CheckedProperties {
  const from = reader.pos;
  const end = blockEnd(reader);
  if (reader.pos === end) return NONE;
  const positions = new Map<number, number>();
  /** begin and end of each property but the user properties */
  const spans: number[] = [];
  let users = 0;
  while (reader.pos < end) {
    users = skipUserProperties(reader, end, users);
    if (reader.pos === end) break;
    const begin = reader.pos;
    const id = reader.variableByteInteger();
    const check = allowed.includes(id) ? CHECKS[id] : undefined;
    if (check === undefined) malformed(`property ${id} is not allowed in this packet`);
    if (positions.has(id)) violation('a property appears twice');
    positions.set(id, reader.pos);
    check(reader);
    if (reader.pos > end) malformed('a property is larger than the property length');
    spans.push(begin, reader.pos);
  }
  return { at: positions, edit: users === 0 ? null : { from, to: end, bytes: withLength(partsOf(reader.buf, spans)) } };
}

function partsOf(buf: Buffer, spans: readonly number[]): Buffer[] {
  const parts: Buffer[] = [];
  for (let i = 0; i < spans.length; i += 2) parts.push(buf.subarray(spans[i]!, spans[i + 1]!));
  return parts;
}

/** A property block of these properties. */
function withLength(properties: readonly Buffer[]): Buffer[] {
  return [variableByteInteger(properties.reduce((sum, { length }) => sum + length, 0)), ...properties];
}

function variableByteInteger(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(remainingLengthSize(value));
  writeRemainingLength(bytes, 0, value);
  return bytes;
}

const DUP = 0x08;

/**
 * The packet in `start..end` with these edits, which are in order, without DUP (gap 10), and with a Remaining Length that fits. It is a
 * view when nothing changes.
 */
export function edited(buf: Buffer, start: number, end: number, edits: readonly (Edit | null)[]): Buffer {
  const real = edits.filter((edit) => edit !== null);
  const first = buf[start]! & ~DUP;
  if (real.length === 0 && first === buf[start]) return buf.subarray(start, end);
  const parts: Buffer[] = [];
  let at = start + 1 + remainingLengthSize(readRemainingLength(buf, start + 1, end));
  for (const { from, to, bytes } of real) {
    parts.push(buf.subarray(at, from), ...bytes);
    at = to;
  }
  parts.push(buf.subarray(at, end));
  return Buffer.concat([Buffer.from([first]), ...withLength(parts)]);
}

/**
 * Checks the reserved flags of the fixed header [MQTT-2.1.3-1]: 2 for PUBREL, SUBSCRIBE and UNSUBSCRIBE (in 3.1 also with DUP), otherwise
 * 0.
 */
export function checkFlags(type: number, flags: number, version: ProtocolVersion | 0, name: string): void {
  if (type === 6 || type === 8 || type === 10) {
    if (flags === 2 || (flags === 0x0a && version === 3)) return;
  } else if (flags === 0) return;
  malformed(`fixed header of ${name} has reserved flags`);
}

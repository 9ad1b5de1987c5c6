/** MQTT 5 properties: identifiers, data types, and strict readers of a property block. */

import { ProtocolError } from './errors.ts';
import type { PublishProperties } from './packet.ts';
import { type ByteReader, malformed, violation } from './reader.ts';
import { REASON } from './reason-codes.ts';
import { hasWildcardBytes, isTextBytes } from './topic.ts';

/** Property identifiers (section 2.2.2.2). */
export const PROPERTY = {
  payloadFormatIndicator: 0x01,
  messageExpiryInterval: 0x02,
  contentType: 0x03,
  responseTopic: 0x08,
  correlationData: 0x09,
  subscriptionIdentifier: 0x0b,
  sessionExpiryInterval: 0x11,
  assignedClientIdentifier: 0x12,
  serverKeepAlive: 0x13,
  authenticationMethod: 0x15,
  authenticationData: 0x16,
  requestProblemInformation: 0x17,
  willDelayInterval: 0x18,
  requestResponseInformation: 0x19,
  responseInformation: 0x1a,
  serverReference: 0x1c,
  reasonString: 0x1f,
  receiveMaximum: 0x21,
  topicAliasMaximum: 0x22,
  topicAlias: 0x23,
  maximumQoS: 0x24,
  retainAvailable: 0x25,
  userProperty: 0x26,
  maximumPacketSize: 0x27,
  wildcardSubscriptionAvailable: 0x28,
  subscriptionIdentifiersAvailable: 0x29,
  sharedSubscriptionAvailable: 0x2a,
} as const;

/** Reads a Byte that must be 0 or 1; any other value is a Protocol Error. */
function flag(reader: ByteReader): number {
  const value = reader.byte();
  return value > 1 ? violation('a property that must be 0 or 1 has another value') : value;
}

function duplicate(): never {
  violation('a property appears twice');
}

/** Reads the length of a property block; returns the end of the block. */
export function blockEnd(reader: ByteReader): number {
  const length = reader.variableByteInteger();
  if (length > reader.end - reader.pos) malformed('property length is larger than the packet');
  return reader.pos + length;
}

/** Refuses a property that reaches beyond the end of its block. */
function checkBlock(reader: ByteReader, end: number): void {
  if (reader.pos > end) malformed('a property is larger than the property length');
}

/**
 * Largest number of user properties in one packet: an implementation limit (MQTT 5 section 4.13), without which a packet of the largest
 * size would block its thread. A packet of the default `messageMaxSize` is too small for this many.
 */
const USER_PROPERTIES_MAX = 1_000_000;

/**
 * Checks the adjacent user properties from `reader.pos` on and moves behind them, in one pass and without building values.
 * @param before number of user properties earlier in the packet
 * @returns number of user properties so far
 * @throws ProtocolError malformedPacket; quotaExceeded over USER_PROPERTIES_MAX
 */
export function skipUserProperties(reader: ByteReader, end: number, before: number): number {
  const { buf } = reader;
  let { pos } = reader;
  let count = before;
  while (pos < end && buf[pos] === PROPERTY.userProperty) {
    if (++count > USER_PROPERTIES_MAX) {
      throw new ProtocolError(REASON.quotaExceeded, `a packet may have at most ${USER_PROPERTIES_MAX} user properties`);
    }
    pos = textEndIn(buf, textEndIn(buf, pos + 1, end), end);
  }
  reader.pos = pos;
  return count;
}

/** The end of the UTF-8 Encoded String at `at`, in a block that ends at `end`. @throws ProtocolError malformedPacket */
function textEndIn(buf: Buffer, at: number, end: number): number {
  const from = at + 2;
  if (from > end) malformed('a property is larger than the property length');
  const to = from + ((buf[at]! << 8) | buf[at + 1]!);
  if (to > end) malformed('a property is larger than the property length');
  if (to > from && !isTextBytes(buf, from, to)) malformed('a string is not well-formed UTF-8 or holds U+0000');
  return to;
}

const EMPTY = Buffer.alloc(0);

/**
 * Collects the properties that are forwarded unaltered. The result is a view of the input while they are adjacent, which is nearly always
 * the case; otherwise it is one copy.
 */
class Forward {
  #from = -1;
  #to = -1;
  #copy: Buffer | null = null;
  #copied = 0;

  add(reader: ByteReader, from: number, end: number): void {
    if (this.#from < 0) this.#from = from;
    else if (this.#to !== from) {
      this.#copy ??= Buffer.allocUnsafe(end - this.#from);
      this.#copied += reader.buf.copy(this.#copy, this.#copied, this.#from, this.#to);
      this.#from = from;
    }
    this.#to = reader.pos;
  }

  take(reader: ByteReader): Buffer {
    if (this.#from < 0) return EMPTY;
    if (this.#copy === null) return reader.buf.subarray(this.#from, this.#to);
    this.#copied += reader.buf.copy(this.#copy, this.#copied, this.#from, this.#to);
    return this.#copy.subarray(0, this.#copied);
  }
}

/** Checks one forwarded property other than a user property, and moves behind it; false when `id` is no such property. */
function skipForwarded(reader: ByteReader, id: number): boolean {
  switch (id) {
    case PROPERTY.payloadFormatIndicator:
      flag(reader);
      return true;
    case PROPERTY.contentType:
      reader.skipText();
      return true;
    case PROPERTY.responseTopic: {
      const from = reader.skipText();
      if (from === reader.pos) violation('response topic is empty');
      if (hasWildcardBytes(reader.buf, from, reader.pos)) violation('response topic has wildcards');
      return true;
    }
    case PROPERTY.correlationData:
      reader.skip(reader.uint16());
      return true;
    default:
      return false;
  }
}

/**
 * Reads the property block of a PUBLISH, or of a will when `onWillDelay` is given (called with seconds; a will has no topic alias).
 * Returns null when the block is empty.
 * @throws ProtocolError as `readProperties`; topicAliasInvalid for alias 0 [MQTT-3.3.2-8]; protocolError for a subscription
 *   identifier [MQTT-3.3.4-6] and for wildcards in the response topic [MQTT-3.3.2-14]
 */
export function readPublishProperties(reader: ByteReader, onWillDelay: ((seconds: number) => void) | null): PublishProperties | null {
  const end = blockEnd(reader);
  if (reader.pos === end) return null;
  const result: PublishProperties = { topicAlias: 0, messageExpiryInterval: -1, forward: EMPTY };
  const forward = new Forward();
  let seen = 0;
  let users = 0;
  while (reader.pos < end) {
    const from = reader.pos;
    users = skipUserProperties(reader, end, users);
    if (reader.pos > from) {
      forward.add(reader, from, end);
      continue;
    }
    const id = reader.variableByteInteger();
    if (id < 32) {
      if ((seen & (1 << id)) !== 0) duplicate();
      seen |= 1 << id;
    }
    if (skipForwarded(reader, id)) forward.add(reader, from, end);
    else if (id === PROPERTY.messageExpiryInterval) result.messageExpiryInterval = reader.uint32();
    else if (id === PROPERTY.topicAlias && onWillDelay === null) {
      if (result.topicAlias !== 0) duplicate();
      result.topicAlias = reader.uint16();
      if (result.topicAlias === 0) throw new ProtocolError(REASON.topicAliasInvalid, 'topic alias is 0');
    } else if (id === PROPERTY.willDelayInterval && onWillDelay !== null) onWillDelay(reader.uint32());
    else if (id === PROPERTY.subscriptionIdentifier && onWillDelay === null) violation('a client may not send a subscription identifier');
    else malformed(`property ${id} is not allowed in this packet`);
    checkBlock(reader, end);
  }
  result.forward = forward.take(reader);
  return result;
}

/** Longest block whose length fits into two bytes. */
const SHORT_BLOCK_BYTES_MAX = 16_383;

/**
 * The end of the property block at `at`, when the block is empty, or holds only properties that a server forwards unaltered [MQTT-3.3.2-17]
 * with text in ASCII without NUL. Otherwise -1: `readPublishProperties` has to read the block. Never throws; a faulty block is -1 too.
 * @param end the end of the packet
 */
export function plainPropertiesEnd(buf: Buffer, at: number, end: number): number {
  if (at >= end) return -1;
  let length = buf[at++]!;
  if (length === 0) return at;
  if (length > 127) {
    if (at >= end) return -1;
    const high = buf[at++]!;
    length = (length & 127) | (high << 7);
    // Only the shortest form, and no third byte.
    if (high === 0 || length > SHORT_BLOCK_BYTES_MAX) return -1;
  }
  const stop = at + length;
  if (stop > end) return -1;
  // One bit for each property that may appear only once.
  let seen = 0;
  while (at < stop) {
    const id = buf[at++]!;
    if (id === PROPERTY.userProperty) {
      at = textEnd(buf, at, stop);
      if (at > 0) at = textEnd(buf, at, stop);
      if (at < 0) return -1;
      continue;
    }
    if (id > PROPERTY.correlationData || (seen & (1 << id)) !== 0) return -1;
    seen |= 1 << id;
    at = singleEnd(buf, at, stop, id);
    if (at < 0) return -1;
  }
  return at;
}

/** The end of the property whose value begins at `at`; -1 when it is not plain, or its identifier is not a forwarded one. */
function singleEnd(buf: Buffer, at: number, stop: number, id: number): number {
  switch (id) {
    case PROPERTY.payloadFormatIndicator:
      return at < stop && buf[at]! <= 1 ? at + 1 : -1;
    case PROPERTY.contentType:
      return textEnd(buf, at, stop);
    case PROPERTY.responseTopic: {
      const end = textEnd(buf, at, stop);
      if (end <= at + 2) return -1;
      for (let i = at + 2; i < end; i++) if (buf[i] === 0x23 || buf[i] === 0x2b) return -1;
      return end;
    }
    case PROPERTY.correlationData: {
      if (at + 2 > stop) return -1;
      const end = at + 2 + ((buf[at]! << 8) | buf[at + 1]!);
      return end > stop ? -1 : end;
    }
    default:
      return -1;
  }
}

/** The end of the string at `at`; -1 when the string does not fit, or has a byte that is NUL or not ASCII. */
function textEnd(buf: Buffer, at: number, stop: number): number {
  if (at + 2 > stop) return -1;
  const start = at + 2;
  const end = start + ((buf[at]! << 8) | buf[at + 1]!);
  if (end > stop) return -1;
  const words = viewOf(buf);
  let seen = 0;
  let i = start;
  // The highest bit of a byte is set when the byte is not ASCII. After subtracting 1 it is also set for NUL, which borrows.
  for (; i + 4 <= end; i += 4) {
    const word = words.getInt32(i, true);
    seen |= word | (word - 0x01010101);
  }
  for (; i < end; i++) {
    const byte = buf[i]!;
    seen |= byte | (byte - 1);
  }
  return (seen & 0x80808080) === 0 ? end : -1;
}

let viewed: Buffer = EMPTY;
let view: DataView = new DataView(EMPTY.buffer, EMPTY.byteOffset, 0);

/** The view of the last buffer, kept because many packets share one buffer. */
function viewOf(buf: Buffer): DataView {
  if (viewed !== buf) {
    viewed = buf;
    view = new DataView(buf.buffer, buf.byteOffset, buf.length);
  }
  return view;
}

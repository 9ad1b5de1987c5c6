/** Reads the values of property blocks: the part of the former decoder that mqtt-packet has replaced. */

import { blockEnd, PROPERTY, skipUserProperties } from '../../../../src/mqtt/properties.ts';
import { type ByteReader, malformed, violation } from '../../../../src/mqtt/reader.ts';

type Value = number | string | Buffer;

function flag(reader: ByteReader): number {
  const value = reader.byte();
  return value > 1 ? violation('a property that must be 0 or 1 has another value') : value;
}

function notZero(value: number): number {
  return value === 0 ? violation('a property that must not be 0 is 0') : value;
}

/** Readers of the properties that `readProperties` handles. PUBLISH and wills have a loop of their own below. */
const READ: Record<number, (reader: ByteReader) => Value> = {
  [PROPERTY.subscriptionIdentifier]: (reader) => notZero(reader.variableByteInteger()),
  [PROPERTY.sessionExpiryInterval]: (reader) => reader.uint32(),
  [PROPERTY.authenticationMethod]: (reader) => reader.text(),
  [PROPERTY.authenticationData]: (reader) => reader.binary(),
  [PROPERTY.requestProblemInformation]: flag,
  [PROPERTY.requestResponseInformation]: flag,
  [PROPERTY.reasonString]: (reader) => reader.text(),
  [PROPERTY.receiveMaximum]: (reader) => notZero(reader.uint16()),
  [PROPERTY.topicAliasMaximum]: (reader) => reader.uint16(),
  [PROPERTY.maximumPacketSize]: (reader) => notZero(reader.uint32()),
};

/** The properties of one packet, by identifier. */
export class PropertyBlock {
  readonly #values = new Map<number, Value>();

  /** @throws ProtocolError protocolError when the block already has the property */
  add(id: number, value: Value): void {
    if (this.#values.has(id)) violation('a property appears twice');
    this.#values.set(id, value);
  }

  number<T>(id: number, absent: T): number | T {
    const value = this.#values.get(id);
    return typeof value === 'number' ? value : absent;
  }

  text(id: number): string | null {
    const value = this.#values.get(id);
    return typeof value === 'string' ? value : null;
  }

  binary(id: number): Buffer | null {
    const value = this.#values.get(id);
    return Buffer.isBuffer(value) ? value : null;
  }
}

/**
 * Reads a whole property block with its length. User properties are always allowed. They are checked but not returned, because nothing uses
 * them in the packets that this function reads.
 * @param allowed identifiers that this packet type may have
 * @throws ProtocolError malformedPacket for an unknown identifier or one of another packet type (section 2.2.2.2), and for
 *   overruns; protocolError for duplicates and for values that the standard forbids
 */
export function readProperties(reader: ByteReader, allowed: readonly number[]): PropertyBlock {
  const block = new PropertyBlock();
  const end = blockEnd(reader);
  let users = 0;
  while (reader.pos < end) {
    users = skipUserProperties(reader, end, users);
    if (reader.pos === end) break;
    const id = reader.variableByteInteger();
    const read = allowed.includes(id) ? READ[id] : undefined;
    if (read === undefined) malformed(`property ${id} is not allowed in this packet`);
    block.add(id, read(reader));
    if (reader.pos > end) malformed('a property is larger than the property length');
  }
  return block;
}

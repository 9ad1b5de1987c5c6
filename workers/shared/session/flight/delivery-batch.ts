/** Packs many deliveries of one session into bytes for another thread: a clone of as many objects would block both threads for seconds. */

import type { QoS } from '../../../../src/mqtt/packet.ts';
import { EMPTY, Message } from '../../messages/message.ts';
import type { DeliveryBatch } from '../../wire/controls.ts';
import type { Delivery } from './delivery.ts';

const FLAG = { qos2: 1, retain: 2, isReleased: 4, group: 8, messageRetain: 16 } as const;
/** flags, QoS of the message, packet identifier, source, serial, expiry, number of identifiers */
const FIXED_BYTES = 1 + 1 + 2 + 8 + 8 + 8 + 4;
/** topic, publisher, properties, payload */
const LENGTHS_BYTES = 4 * 4;

function sizeOf({ message, identifiers, group }: Delivery): number {
  const { topic, from, forward, payload } = message;
  const groupBytes = group === null ? 0 : 8 + group.filter.length + group.name.length * 3;
  return (
    FIXED_BYTES + identifiers.length * 4 + groupBytes + LENGTHS_BYTES + topic.length + from.length * 3 + forward.length + payload.length
  );
}

/** @param deliveries at least the first is taken, then as many as `maxBytes` hold */
export function encodeBatch(deliveries: Iterable<Delivery>, maxBytes: number): DeliveryBatch {
  const taken: Delivery[] = [];
  let size = 0;
  for (const delivery of deliveries) {
    const bytes = sizeOf(delivery);
    if (taken.length > 0 && size + bytes > maxBytes) break;
    taken.push(delivery);
    size += bytes;
  }
  const bytes = Buffer.allocUnsafeSlow(size);
  let at = 0;
  for (const delivery of taken) at = writeDelivery(bytes, at, delivery);
  return { count: taken.length, bytes: bytes.subarray(0, at) };
}

function writeDelivery(b: Buffer, start: number, { message, qos, retain, identifiers, packetId, isReleased, group }: Delivery): number {
  const { topic, from, forward, payload } = message;
  let flags = 0;
  if (qos === 2) flags |= FLAG.qos2;
  if (retain) flags |= FLAG.retain;
  if (isReleased) flags |= FLAG.isReleased;
  if (group !== null) flags |= FLAG.group;
  if (message.retain) flags |= FLAG.messageRetain;
  let at = b.writeUInt8(flags, start);
  at = b.writeUInt8(message.qos, at);
  at = b.writeUInt16LE(packetId, at);
  at = b.writeDoubleLE(message.source, at);
  at = b.writeDoubleLE(message.serial, at);
  at = b.writeDoubleLE(message.expiresAt, at);
  at = b.writeUInt32LE(identifiers.length, at);
  for (const identifier of identifiers) at = b.writeUInt32LE(identifier, at);
  if (group !== null) {
    at = writeText(b, group.filter, at, 'latin1');
    at = writeText(b, group.name, at, 'utf8');
  }
  at = writeText(b, topic, at, 'latin1');
  at = writeText(b, from, at, 'utf8');
  at = b.writeUInt32LE(forward.length, at);
  at += forward.copy(b, at);
  at = b.writeUInt32LE(payload.length, at);
  return at + payload.copy(b, at);
}

function writeText(b: Buffer, text: string, at: number, encoding: 'latin1' | 'utf8'): number {
  const bytes = b.write(text, at + 4, encoding);
  b.writeUInt32LE(bytes, at);
  return at + 4 + bytes;
}

/** The deliveries of a batch, which reference its bytes. */
export function decodeBatch({ count, bytes }: DeliveryBatch): Delivery[] {
  const reader = new BatchBytes(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  return Array.from({ length: count }, () => reader.delivery());
}

class BatchBytes {
  readonly #b: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#b = bytes;
  }

  delivery(): Delivery {
    const b = this.#b;
    const at = this.#at;
    const flags = b.readUInt8(at);
    const has = (flag: number) => (flags & flag) !== 0;
    const identifiers: number[] = [];
    this.#at = at + FIXED_BYTES;
    for (let n = b.readUInt32LE(at + FIXED_BYTES - 4); n > 0; n--) identifiers.push(this.#number());
    const group = has(FLAG.group) ? { filter: this.#part().latin1Slice(), name: this.#part().utf8Slice() } : null;
    const topic = this.#part().latin1Slice();
    const from = this.#part().utf8Slice();
    const forward = this.#part();
    const payload = this.#part();
    const expiresAt = b.readDoubleLE(at + 20);
    const message = new Message(topic, payload, b.readUInt8(at + 1) as QoS, has(FLAG.messageRetain), forward, expiresAt, from);
    message.source = b.readDoubleLE(at + 4);
    message.serial = b.readDoubleLE(at + 12);
    return {
      message,
      qos: has(FLAG.qos2) ? 2 : 1,
      retain: has(FLAG.retain),
      identifiers,
      packetId: b.readUInt16LE(at + 2),
      order: 0,
      isReleased: has(FLAG.isReleased),
      group,
    };
  }

  #number(): number {
    const number = this.#b.readUInt32LE(this.#at);
    this.#at += 4;
    return number;
  }

  #part(): Buffer {
    const length = this.#number();
    this.#at += length;
    return length === 0 ? EMPTY : this.#b.subarray(this.#at - length, this.#at);
  }
}

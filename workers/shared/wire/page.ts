/** A page of retained messages in shared memory: made once, read by every worker that asks, and sent unchanged when possible. */

import { publishSize, writePublish } from '../../../src/mqtt/encode-publish.ts';
import { readRemainingLength, remainingLengthSize } from '../../../src/mqtt/framer.ts';
import type { QoS } from '../../../src/mqtt/packet.ts';
import { EMPTY, Message } from '../messages/message.ts';

/** A page as it crosses between threads; its bytes are not copied. */
export interface RetainedPage {
  /** unique for the life of a session worker */
  id: number;
  count: number;
  /** consecutive PUBLISH packets for MQTT 3 subscribers with QoS 0 */
  packets: Uint8Array;
  /** the other fields of each message */
  heads: Uint8Array;
  /** peers that routed the messages first */
  sources: number[];
  /** the highest QoS of the messages */
  maxQos: QoS;
  /** true when a message expires */
  expires: boolean;
}

/** A message of this size or more stays in shared memory while it is retained, and is a page of its own. */
const LARGE_BYTES = 16 * 1024;
/** packet end, source, QoS, serial, expiry, stamp, lengths of publisher and properties */
const HEAD_BYTES = 4 + 8 + 1 + 8 + 8 + 12 + 4 + 4;

/** large message → its packet */
const largePackets = new WeakMap<Message, Buffer>();
let lastId = 0;

function encodingOf(message: Message) {
  return {
    version: 4 as const,
    qos: 0 as const,
    retain: true,
    dup: false,
    packetId: 0,
    topic: message.topicBytes,
    payload: message.payload,
    topicAlias: 0,
    messageExpiryInterval: -1,
    subscriptionIdentifiers: [],
    forward: EMPTY,
  };
}

function sharedBuffer(bytes: number): Buffer {
  return Buffer.from(new SharedArrayBuffer(bytes));
}

/** Moves the bytes of a new retained message to their final place; for a large message into shared memory. */
export function settle(message: Message): Message {
  if (message.payload.length >= LARGE_BYTES) {
    const encoding = encodingOf(message);
    const packet = sharedBuffer(publishSize(encoding));
    writePublish(packet, 0, encoding);
    largePackets.set(message, packet);
    message.movePayload(packet.subarray(packet.length - message.payload.length));
  }
  return message.detach();
}

/** True when the message must be a page of its own. */
export function needsOwnPage(message: Message): boolean {
  return largePackets.has(message);
}

/** @param messages detached; a large one must be alone */
export function makePage(messages: readonly Message[]): RetainedPage {
  const sources = new Set<number>();
  let maxQos: QoS = 0;
  let expires = false;
  let headBytes = 0;
  let packetBytes = 0;
  for (const message of messages) {
    sources.add(message.source);
    if (message.qos > maxQos) maxQos = message.qos;
    if (message.expiresAt !== 0) expires = true;
    headBytes += HEAD_BYTES + message.from.length * 3 + message.forward.length;
    const body = 2 + message.topic.length + message.payload.length;
    packetBytes += 1 + remainingLengthSize(body) + body;
  }
  const large = messages.length === 1 ? largePackets.get(messages[0]!) : undefined;
  const packets = large ?? sharedBuffer(packetBytes);
  const heads = sharedBuffer(headBytes);
  let at = 0;
  let end = large === undefined ? 0 : large.length;
  for (const message of messages) {
    if (large === undefined) end = writePublish(packets, end, encodingOf(message));
    at = writeHead(heads, at, message, end);
  }
  return { id: ++lastId, count: messages.length, packets, heads, sources: [...sources], maxQos, expires };
}

function writeHead(heads: Buffer, start: number, message: Message, end: number): number {
  const { source, serial, qos, expiresAt, stamp, from, forward } = message;
  let at = heads.writeUInt32LE(end, start);
  at = heads.writeDoubleLE(source, at);
  at = heads.writeUInt8(qos, at);
  at = heads.writeDoubleLE(serial, at);
  at = heads.writeDoubleLE(expiresAt, at);
  at = heads.writeDoubleLE(stamp.at, at);
  at = heads.writeUInt32LE(stamp.by, at);
  const fromBytes = heads.utf8Write(from, at + 8);
  at = heads.writeUInt32LE(fromBytes, at);
  at = heads.writeUInt32LE(forward.length, at) + fromBytes;
  return at + forward.copy(heads, at);
}

/** The messages of a page; their payloads are not copied. */
export function readPage(page: RetainedPage): Message[] {
  const packets = toBuffer(page.packets);
  const heads = toBuffer(page.heads);
  const messages: Message[] = [];
  let start = 0;
  let at = 0;
  for (let n = 0; n < page.count; n++) {
    const end = heads.readUInt32LE(at);
    const fromBytes = heads.readUInt32LE(at + 41);
    const forwardBytes = heads.readUInt32LE(at + 45);
    const fromAt = at + HEAD_BYTES;
    const from = heads.utf8Slice(fromAt, fromAt + fromBytes);
    const forward = forwardBytes === 0 ? EMPTY : heads.subarray(fromAt + fromBytes, fromAt + fromBytes + forwardBytes);
    const topicAt = start + 1 + remainingLengthSize(readRemainingLength(packets, start + 1, end)) + 2;
    const payloadAt = topicAt + packets.readUInt16BE(topicAt - 2);
    const topic = packets.latin1Slice(topicAt, payloadAt);
    const expiresAt = heads.readDoubleLE(at + 21);
    const message = new Message(topic, packets.subarray(payloadAt, end), heads[at + 12] as QoS, true, forward, expiresAt, from);
    message.source = heads.readDoubleLE(at + 4);
    message.serial = heads.readDoubleLE(at + 13);
    message.stamp = { at: heads.readDoubleLE(at + 29), by: heads.readUInt32LE(at + 37) };
    messages.push(message);
    start = end;
    at = fromAt + fromBytes + forwardBytes;
  }
  return messages;
}

/** The packets of the page for MQTT 5 subscribers with QoS 0. @param messages of a page without expiring messages */
export function packetsOfVersion5(messages: readonly Message[]): Buffer {
  const encodings = messages.map((message) => ({ ...encodingOf(message), version: 5 as const, forward: message.forward }));
  const bytes = Buffer.allocUnsafeSlow(encodings.reduce((sum, encoding) => sum + publishSize(encoding), 0));
  let at = 0;
  for (const encoding of encodings) at = writePublish(bytes, at, encoding);
  return bytes;
}

function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

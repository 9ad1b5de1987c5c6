/** One application message on its way through a worker: its bytes, and everything that a sender needs. */

import { readRemainingLength, remainingLengthSize } from '../../../src/mqtt/framer.ts';
import type { QoS } from '../../../src/mqtt/packet.ts';
import { type Stamp, UNSTAMPED } from './stamp.ts';

/** No properties; shared, never written to. */
export const EMPTY: Buffer = Buffer.alloc(0);

/** A PUBLISH with QoS 1 or 2 in its original bytes: no RETAIN, no DUP, and only properties that pass unaltered. */
export interface PlainPacket {
  readonly buf: Buffer;
  readonly start: number;
  readonly end: number;
  /** offset of the packet identifier */
  readonly idAt: number;
  readonly payloadStart: number;
  /** 4: bytes for MQTT 3.x clients, 5: for MQTT 5 */
  readonly version: 4 | 5;
}

/** Bytes of the messages that sessions of this thread hold; a message that several sessions hold counts once. */
export const heldMessages: { bytes: number } = { bytes: 0 };

/**
 * An application message. Its bytes are a view of the chunk that the socket read, which is never written to again. `detach` copies them for
 * a message that is kept for long; without the copy a small message would pin a large chunk.
 */
export class Message {
  /** UTF-8 bytes of the topic as a latin1 string: the routing key */
  readonly topic: string;
  readonly qos: QoS;
  /** the RETAIN flag as published */
  readonly retain: boolean;
  /** the moment of expiry by steadyNow(); 0: never [MQTT-3.3.2-5] */
  readonly expiresAt: number;
  /**
   * session key of the publisher, for No Local; '' for the server itself. With `isGivenOn`: of the client that may have had the message, and does
   * not get it again; '': none
   */
  readonly from: string;
  /**
   * the peer that routed the message first, and the message's number there: together unique in the life of the process, and in the
   * cluster (SOURCES_PER_NODE); serial 0: not numbered
   */
  source = 0;
  serial = 0;
  /** with RETAIN: endpoint id of the publisher, whose quota the message takes; '' for the server itself */
  origin = '';
  /** true when the message goes to a second member of a shared group, because the first one has left. It does not change what is retained */
  isGivenOn = false;
  /** with RETAIN: the time of the publish */
  stamp: Stamp = UNSTAMPED;
  #payload: Buffer | null;
  #forward: Buffer | null;
  #packet: PlainPacket | null = null;
  #topicBytes: Buffer | null = null;
  #size = 0;
  #holders = 0;

  constructor(topic: string, payload: Buffer | null, qos: QoS, retain: boolean, forward: Buffer | null, expiresAt: number, from: string) {
    this.topic = topic;
    this.#payload = payload;
    this.qos = qos;
    this.retain = retain;
    this.#forward = forward;
    this.expiresAt = expiresAt;
    this.from = from;
  }

  /** A message whose packet may be forwarded unchanged, except for its packet identifier. */
  static ofPacket(topic: string, packet: PlainPacket, qos: QoS, from: string): Message {
    const message = new Message(topic, null, qos, false, null, 0, from);
    message.#packet = packet;
    return message;
  }

  /** The original bytes; null when they are gone, or are not plain. */
  get packet(): PlainPacket | null {
    return this.#packet;
  }

  get payload(): Buffer {
    if (this.#payload === null) {
      const { buf, payloadStart, end } = this.#packet!;
      this.#payload = buf.subarray(payloadStart, end);
    }
    return this.#payload;
  }

  /** Encoded MQTT 5 properties that pass unaltered. */
  get forward(): Buffer {
    if (this.#forward === null) this.#forward = propertiesOf(this.#packet!);
    return this.#forward;
  }

  get topicBytes(): Buffer {
    this.#topicBytes ??= Buffer.from(this.topic, 'latin1');
    return this.#topicBytes;
  }

  /** Approximate bytes of topic, payload and properties. */
  get size(): number {
    if (this.#size === 0) {
      const packet = this.#packet;
      this.#size = packet === null ? this.topic.length + this.payload.length + this.forward.length : packet.end - packet.start;
    }
    return this.#size;
  }

  /** A session holds the message, in flight or queued. One release() follows each hold(). */
  hold(): void {
    if (this.#holders++ === 0) heldMessages.bytes += this.size;
  }

  release(): void {
    if (--this.#holders === 0) heldMessages.bytes -= this.size;
  }

  /** Moves the payload to `payload`, byte for byte. */
  movePayload(payload: Buffer): void {
    this.#payload = payload;
  }

  /**
   * Copies bytes out of a larger buffer, and leaves Node's pool. A message that fills most of a shared block stays there: nobody writes to
   * the block again.
   */
  detach(): this {
    const { payload, forward } = this;
    this.#packet = null;
    this.#topicBytes = null;
    const { buffer } = payload;
    const isShared = buffer instanceof SharedArrayBuffer && payload.length * 2 > buffer.byteLength;
    if (buffer.byteLength !== payload.length && !isShared) this.#payload = copy(payload);
    if (forward.length > 0 && forward.buffer.byteLength !== forward.length) this.#forward = copy(forward);
    return this;
  }

  /** Whole seconds left; -1 without expiry; 0 or less: expired. */
  remainingSeconds(now: number): number {
    if (this.expiresAt === 0) return -1;
    const left = this.expiresAt - now;
    return left <= 0 ? 0 : Math.max(1, Math.round(left / 1000));
  }

  isExpired(now: number): boolean {
    return this.expiresAt !== 0 && now >= this.expiresAt;
  }
}

/** The property block of a plain packet, without its length. */
function propertiesOf({ buf, idAt, payloadStart, version }: PlainPacket): Buffer {
  if (version !== 5 || buf[idAt + 2] === 0) return EMPTY;
  return buf.subarray(idAt + 2 + remainingLengthSize(readRemainingLength(buf, idAt + 2, payloadStart)), payloadStart);
}

function copy(bytes: Buffer): Buffer {
  const own = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(own);
  return own;
}

/** Sources below this number are peers of this process. Another node's source is the incarnation of its process times this, plus the peer. */
export const SOURCES_PER_NODE = 2 ** 20;

/** True for a message that came from another node. */
export function isForeign({ source }: { readonly source: number }): boolean {
  return source >= SOURCES_PER_NODE;
}

/** A message as plain data, for another thread or for the disk. */
export interface WireMessage {
  topic: string;
  payload: Uint8Array;
  qos: QoS;
  retain: boolean;
  forward: Uint8Array;
  expiresAt: number;
  from: string;
  source: number;
  serial: number;
}

export function toWireMessage(message: Message): WireMessage {
  // A clone of a view would carry the whole buffer behind the view to the other thread.
  message.detach();
  const { topic, qos, retain, expiresAt, from, source, serial } = message;
  return { topic, payload: message.payload, qos, retain, forward: message.forward, expiresAt, from, source, serial };
}

/** A message that goes to another member of a shared group; see Message.from. */
export function toGivenOn(message: Message): WireMessage {
  const wire = toWireMessage(message);
  return message.isGivenOn ? wire : { ...wire, from: '' };
}

export function fromWireMessage(wire: WireMessage): Message {
  const message = new Message(wire.topic, asBuffer(wire.payload), wire.qos, wire.retain, asBuffer(wire.forward), wire.expiresAt, wire.from);
  message.source = wire.source;
  message.serial = wire.serial;
  return message;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

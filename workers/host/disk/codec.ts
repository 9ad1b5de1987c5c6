/** Encodes and decodes everything in messages.db. No other module knows the formats, and a property test covers every shape. */

import type { QoS } from '../../../src/mqtt/packet.ts';
import { Message } from '../../shared/messages/message.ts';
import type { WireDelivery, WireSession, WireSubscription } from '../../shared/wire/controls.ts';

/** The part of a session that changes with its client, not with each subscription or message. */
export type SessionState = Omit<WireSession, 'subscriptions' | 'deliveries' | 'received'>;

/** The only key of an object that stands for bytes in JSON; no other object here has this key. */
const BYTES = '$bytes';

/** JSON that preserves byte arrays. */
function write(value: unknown): string {
  return JSON.stringify(value, function (this: Record<string, unknown>, key, given: unknown) {
    // JSON.stringify has already called toJSON() of a Buffer, but not of another Uint8Array: the original value is still in its holder.
    const original = this[key];
    return original instanceof Uint8Array ? { [BYTES]: toBuffer(original).toString('base64') } : given;
  });
}

function read(text: string): unknown {
  return JSON.parse(text, (_key, value: unknown) => {
    if (typeof value !== 'object' || value === null || !(BYTES in value)) return value;
    return Buffer.from(String(value[BYTES]), 'base64');
  });
}

function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Column `state` of the table `session`. */
export function encodeState(state: SessionState): string {
  return write(state);
}

export function decodeState(text: string): SessionState {
  const state = read(text) as SessionState | Omit<SessionState, 'holder'>;
  // Older versions recorded no holder and wrote no such key.
  return 'holder' in state ? state : { ...state, holder: null };
}

/** Column `subscription` of the table `subscription`. */
export function encodeSubscription(subscription: WireSubscription): string {
  return write(subscription);
}

export function decodeSubscription(text: string): WireSubscription {
  return read(text) as WireSubscription;
}

/** The columns of the table `delivery`, without those that name the session. */
export interface DeliveryRow {
  source: number;
  serial: number;
  packet_id: number;
  released: number;
  qos: 1 | 2;
  retain: number;
  identifiers: string;
  share_filter: string | null;
  share_name: string | null;
  topic: string;
  message_qos: QoS;
  message_retain: number;
  forward: Uint8Array;
  expires_at: number;
  payload: Uint8Array;
}

/** The row of a delivery. It omits the publisher: No Local is decided before a message enters a session. */
export function toDeliveryRow(delivery: WireDelivery): DeliveryRow {
  const { message, group } = delivery;
  return {
    source: message.source,
    serial: message.serial,
    packet_id: delivery.packetId,
    released: Number(delivery.isReleased),
    qos: delivery.qos,
    retain: Number(delivery.retain),
    identifiers: write(delivery.identifiers),
    share_filter: group?.filter ?? null,
    share_name: group?.name ?? null,
    topic: message.topic,
    message_qos: message.qos,
    message_retain: Number(message.retain),
    forward: message.forward,
    expires_at: message.expiresAt,
    payload: message.payload,
  };
}

export function fromDeliveryRow(row: DeliveryRow): WireDelivery {
  return {
    message: {
      topic: row.topic,
      payload: row.payload,
      qos: row.message_qos,
      retain: row.message_retain === 1,
      forward: row.forward,
      expiresAt: row.expires_at,
      from: '',
      source: row.source,
      serial: row.serial,
    },
    qos: row.qos,
    retain: row.retain === 1,
    identifiers: read(row.identifiers) as number[],
    packetId: row.packet_id,
    isReleased: row.released === 1,
    group: row.share_filter === null || row.share_name === null ? null : { filter: row.share_filter, name: row.share_name },
  };
}

/** The columns of the table `retained`, without the namespace. */
export interface RetainedRow {
  topic: string;
  qos: QoS;
  forward: Buffer;
  expires_at: number;
  sender: string;
  payload: Buffer;
  endpoint: string;
  stamp: number;
  stamped_by: number;
}

export function toRetainedRow({ topic, qos, forward, expiresAt, from, payload, origin, stamp }: Message): RetainedRow {
  const { at, by } = stamp;
  return { topic, qos, forward, expires_at: expiresAt, sender: from, payload, endpoint: origin, stamp: at, stamped_by: by };
}

export function fromRetainedRow(row: RetainedRow): Message {
  const message = new Message(row.topic, row.payload, row.qos, true, row.forward, row.expires_at, row.sender);
  message.origin = row.endpoint;
  message.stamp = { at: row.stamp, by: row.stamped_by };
  return message;
}

/**
 * Decodes a state of file versions 1 and 2. The bytes of a will are base64 when another thread had sent it; otherwise they are an object
 * that names the type Buffer and lists numbers. A state of version 1 contains the subscriptions and keeps them in the result.
 */
export function decodeStateOfVersion2(text: string): SessionState {
  const state = JSON.parse(text) as SessionState;
  const message = state.will?.message;
  if (message !== undefined) {
    message.payload = oldBytes(message.payload);
    message.forward = oldBytes(message.forward);
  }
  return state;
}

function oldBytes(value: unknown): Buffer {
  return typeof value === 'string' ? Buffer.from(value, 'base64') : Buffer.from((value as { data: number[] }).data);
}

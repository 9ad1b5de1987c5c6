/** The content of a link's packets: batches of records, and controls. */

import { FNV_BASIS, fnv1a } from '../../src/kernel/fnv.ts';
import type { WireMessage } from '../shared/messages/message.ts';
import type { SharedLine, SharedName } from '../shared/routing/shared-reports.ts';
import type { InterestNews } from '../shared/wire/controls.ts';
import type { IdentifierNews } from '../shared/wire/identifier-news.ts';

/** Controls between relays, in order. */
export type NodeControl =
  /**
   * the whole interest of the node follows, and replaces what the receiver knows
   * @param relay differs for each relay of the node; absent: the node's version reports no settlements
   */
  | { t: 'begin'; relay?: number }
  /** a change of the node's interest; request 0 gets no answer */
  | { t: 'news'; request: number; news: InterestNews[] }
  /** the whole interest has been sent */
  | { t: 'end'; request: number }
  /** the threads of the sender route by the interest of this request, and of all earlier requests */
  | { t: 'known'; request: number }
  /** the group has no member at the sender: the receiver, which chose the sender, chooses again */
  | { t: 'bounce'; namespace: string; group: string; message: WireMessage }
  /** asks for an answer when the node `to` has taken everything that the receiver's workers have routed so far */
  | { t: 'flush'; request: number; to: string }
  | { t: 'flushed'; request: number }
  /** the receiver's QoS 2 messages of shared subscriptions that these clients may get from now on: group, peer at the receiver, serial, session key */
  | { t: 'name'; request: number; names: SharedName[] }
  | { t: 'named'; request: number }
  /** from session worker to session worker */
  | { t: 'identifiers'; news: IdentifierNews };

/**
 * Lanes of a link: controls; small messages with QoS 0; small messages with QoS 1 and 2; the comparison of retained messages; settlements;
 * large messages by topic, with QoS 1 and 2, and with QoS 0.
 */
export const LANE = { controls: 0, once: 1, queued: 2, retained: 3, settled: 4, largeQueued: 16, largeOnce: 64 } as const;
/** Lanes for large messages of one kind. */
export const LARGE_LANES = 32;
/** A message of this size or more, bytes, has a packet of its own in a lane for large ones. */
export const LARGE_BYTES = 128 * 1024;

/** Steady time of the sender, when the packet goes to the link: moments of expiry refer to it. */
export const BATCH_HEAD_BYTES = 8;

export function encodeControls(controls: readonly NodeControl[]): Buffer {
  return Buffer.from(
    JSON.stringify(controls.map((control) => (control.t === 'bounce' ? { ...control, message: toText(control.message) } : control))),
  );
}

/** @throws Error when the bytes are no list of controls */
export function decodeControls(packet: Uint8Array): NodeControl[] {
  const read: unknown = JSON.parse(Buffer.from(packet.buffer, packet.byteOffset, packet.byteLength).toString());
  if (!Array.isArray(read)) throw new Error('a packet of controls is no list');
  return (read as NodeControl[]).map((control) => (control.t === 'bounce' ? { ...control, message: fromText(control.message) } : control));
}

/** Messages that a node has sent to shared groups here, each line with their peer at that node. See SharedReader. */
export interface Settlement {
  /** of the node that sent them */
  readonly incarnation: number;
  readonly isHeld: boolean;
  readonly line: SharedLine;
}

export function encodeSettlements(settlements: readonly Settlement[]): Buffer {
  const text = JSON.stringify(settlements);
  const bytes = Buffer.allocUnsafeSlow(BATCH_HEAD_BYTES + Buffer.byteLength(text));
  bytes.write(text, BATCH_HEAD_BYTES);
  return bytes;
}

/** @throws Error when the bytes are no list of settlements */
export function decodeSettlements(packet: Uint8Array): Settlement[] {
  const read: unknown = JSON.parse(Buffer.from(packet.buffer, packet.byteOffset, packet.byteLength).toString('utf8', BATCH_HEAD_BYTES));
  if (!Array.isArray(read)) throw new Error('a packet of settlements is no list');
  return read as Settlement[];
}

/** JSON has no bytes. */
function toText(message: WireMessage) {
  const text = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
  return { ...message, payload: text(message.payload), forward: text(message.forward) };
}

function fromText(message: WireMessage): WireMessage {
  const bytes = (text: unknown) => Buffer.from(String(text), 'base64');
  return { ...message, payload: bytes(message.payload), forward: bytes(message.forward) };
}

/** The same number for the same topic, 0..2^32-1. */
export function hashOf(topic: string): number {
  return mixed(fnv1a(topic, FNV_BASIS));
}

/** Spreads numbers that follow one another, 0..2^32-1. */
export function mixed(number: number): number {
  let bits = number | 0;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}

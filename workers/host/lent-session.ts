/** A session on its way between two nodes, as text: moments and sources of messages mean something in one process only. */

import { deserialize, serialize } from 'node:v8';
import { Message, SOURCES_PER_NODE } from '../shared/messages/message.ts';
import type { Deliveries } from '../shared/session/flight/deliveries.ts';
import { type Delivery, deliveryKey } from '../shared/session/flight/delivery.ts';
import { decodeBatch, encodeBatch } from '../shared/session/flight/delivery-batch.ts';
import type { WireSession, WireSubscription } from '../shared/wire/controls.ts';

/** The origin of a session. */
export interface LentHead {
  session: WireSession;
  subscriptions: readonly WireSubscription[];
  /** steady time of the sender */
  at: number;
  /** incarnation of the sender's process */
  incarnation: number;
}

export interface LentPart {
  count: number;
  bytes: string;
}

export function encodeHead(head: LentHead): string {
  return serialize(head).toString('base64');
}

export function decodeHead(text: string): LentHead {
  return deserialize(Buffer.from(text, 'base64')) as LentHead;
}

/** @param deliveries as many as `maxBytes` hold, one at least */
export function encodePart(deliveries: Iterable<Delivery>, maxBytes: number): LentPart {
  const { count, bytes } = encodeBatch(deliveries, maxBytes);
  return { count, bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64') };
}

/** @param from incarnation of the sender's process @param own incarnation of this process @param shift added to moments of the sender */
export function decodePart({ count, bytes }: LentPart, from: number, own: number, shift: number): Delivery[] {
  const deliveries = decodeBatch({ count, bytes: Buffer.from(bytes, 'base64') });
  for (const delivery of deliveries) {
    const { topic, payload, qos, retain, forward, expiresAt, from: publisher, source, serial } = delivery.message;
    const message = new Message(topic, payload, qos, retain, forward, expiresAt === 0 ? 0 : expiresAt + shift, publisher);
    message.source = sourceHere(source, from, own);
    message.serial = serial;
    delivery.message = message;
  }
  return deliveries;
}

/** The name that a source has in this process; below 0: the sender's disk has numbered the message. */
function sourceHere(source: number, from: number, own: number): number {
  const local = source < 0 ? SOURCES_PER_NODE - 1 : source;
  const everywhere = local < SOURCES_PER_NODE ? from * SOURCES_PER_NODE + local : local;
  return Math.floor(everywhere / SOURCES_PER_NODE) === own ? everywhere % SOURCES_PER_NODE : everywhere;
}

/**
 * Puts messages that have come to the new place behind those of the old place, once each. Both places were members of the session's shared
 * groups for a moment: messages of a group keep the order of their source.
 * @param old messages of the old place; extended
 */
export function joinArrived(old: Deliveries, arrived: Iterable<Delivery>): void {
  const known = new Set([...old.inflight.inOrder(), ...old.queue].map(({ message, group }) => deliveryKey(message, group)));
  const all = [...old.queue];
  for (const delivery of arrived) if (!known.has(deliveryKey(delivery.message, delivery.group))) all.push(delivery);
  const lines = new Map<string, Delivery[]>();
  for (const delivery of all) {
    if (delivery.group === null) continue;
    const line = `${delivery.message.source} ${delivery.group.name}/${delivery.group.filter}`;
    const of = lines.get(line);
    if (of === undefined) lines.set(line, [delivery]);
    else of.push(delivery);
  }
  const places = new Map<Delivery, Delivery>();
  for (const line of lines.values()) {
    const sorted = [...line].sort((a, b) => a.message.serial - b.message.serial);
    for (const [at, delivery] of line.entries()) places.set(delivery, sorted[at]!);
  }
  old.queue.remove(() => true);
  for (const delivery of all) old.queue.push(places.get(delivery) ?? delivery);
}

/** A QoS 1/2 message of one session, and its form as plain data. */

import { fromWireMessage, type Message, toWireMessage } from '../../messages/message.ts';
import type { DeliveryName, WireDelivery } from '../../wire/controls.ts';

/** A QoS 1/2 message of a session: waiting (packetId 0) or in flight. */
export interface Delivery {
  message: Message;
  qos: 1 | 2;
  retain: boolean;
  identifiers: readonly number[];
  packetId: number;
  /** its position in the order of going into flight; 0 while it waits */
  order: number;
  /** PUBREC has come: PUBREL is due until PUBCOMP */
  isReleased: boolean;
  group: { filter: string; name: string } | null;
}

/** Names one delivery within its session. A session may get a message directly and through shared groups as well. */
export function deliveryKey({ source, serial }: { source: number; serial: number }, group: Delivery['group']): string {
  return group === null ? `${source}:${serial}` : `${source}:${serial}:${group.name}/${group.filter}`;
}

export function nameOf({ message, group }: Delivery): DeliveryName {
  return { source: message.source, serial: message.serial, group };
}

export function toWireDelivery(delivery: Delivery): WireDelivery {
  const { qos, retain, packetId, isReleased, group } = delivery;
  return { message: toWireMessage(delivery.message), qos, retain, identifiers: [...delivery.identifiers], packetId, isReleased, group };
}

export function fromWireDelivery({ message, qos, retain, identifiers, packetId, isReleased, group }: WireDelivery): Delivery {
  return { message: fromWireMessage(message), qos, retain, identifiers, packetId, order: 0, isReleased, group };
}

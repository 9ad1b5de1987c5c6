/** The will of a connection, from CONNECT until it is published or dropped. */

import { steadyNow } from '../../../src/kernel/clock.ts';
import { fromWireMessage, Message, toWireMessage } from '../messages/message.ts';
import type { DueWill, WireWill } from '../wire/controls.ts';

/** The will of the last connection, while its delay runs [MQTT-3.1.2-8]. */
export interface PendingWill {
  /** without expiry, which starts when the will is published (MQTT 5 section 3.1.3.2.4) */
  message: Message;
  delayMs: number;
  /** seconds; -1 = none */
  expirySeconds: number;
}

/** The message of a will that is published now. @param endpoint id of the endpoint of its client */
export function willMessage({ message, expirySeconds }: PendingWill, endpoint: string): Message {
  const { topic, payload, qos, retain, forward, from } = message;
  const published = new Message(topic, payload, qos, retain, forward, expirySeconds < 0 ? 0 : steadyNow() + expirySeconds * 1000, from);
  published.origin = endpoint;
  return published;
}

export function toWireWill(will: PendingWill): WireWill {
  return { ...will, message: toWireMessage(will.message) };
}

export function fromWireWill(will: WireWill): PendingWill {
  return { ...will, message: fromWireMessage(will.message) };
}

/** The message of a due will from a peer. */
export function dueMessage({ will, endpoint }: DueWill): Message {
  return willMessage(fromWireWill(will), endpoint);
}

/** Bytes that sessions take from the memory budget (thread/memory-budget.ts), without the messages, which several sessions may share. */

import type { Message } from '../messages/message.ts';

/** Approximate bytes of a session, a delivery, a received identifier and a subscription, without their texts and payloads. */
const SESSION_BYTES = 1000;
export const DELIVERY_BYTES = 200;
const RECEIVED_BYTES = 50;
const SUBSCRIPTION_BYTES = 400;
/** Copies of a session's key: in the session, in the table, and in the session worker. */
const KEYS = 3;

/** The parts of a session that can grow. */
interface Footprint {
  readonly key: string;
  readonly filterBytes: number;
  readonly queue: { readonly length: number };
  readonly inflight: { readonly size: number };
  readonly received: { readonly size: number } | null;
  readonly will: { readonly message: Message } | null;
}

/** Approximate bytes of a subscription in this thread and at its peers. @param key result of subscriptionKey() */
export function bytesOfFilter(key: string): number {
  return SUBSCRIPTION_BYTES + key.length * 2;
}

export function bytesOfSession({ key, filterBytes, queue, inflight, received, will }: Footprint): number {
  const deliveries = (queue.length + inflight.size) * DELIVERY_BYTES;
  const identifiers = received === null ? 0 : received.size * RECEIVED_BYTES;
  return SESSION_BYTES + key.length * KEYS + filterBytes + deliveries + identifiers + (will === null ? 0 : will.message.size);
}

export function bytesOfSessions(sessions: Iterable<Footprint>): number {
  let bytes = 0;
  for (const session of sessions) bytes += bytesOfSession(session);
  return bytes;
}

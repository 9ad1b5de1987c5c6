/** Bytes that sessions take from the memory budget (thread/memory-budget.ts), without the messages, which several sessions may share. */

import type { Message } from '../messages/message.ts';

/** Approximate bytes of a session, a delivery, a received identifier and a subscription, without their texts and payloads. */
const SESSION_BYTES = 1000;
export const DELIVERY_BYTES = 200;
const RECEIVED_BYTES = 50;
const SUBSCRIPTION_BYTES = 400;
/** Copies of a filter in a thread that knows it, with the room that garbage takes. */
const FILTER_COPIES = 2;
/** Copies of a session's key: in the session, in the table, and in the session worker. */
const KEYS = 3;

/** The parts of a session that can grow. */
interface Footprint {
  readonly key: string;
  readonly gate: { readonly isArriving: boolean } | null;
  readonly filterLength: number;
  readonly subscriptions: { readonly size: number };
  readonly queue: { readonly length: number };
  readonly inflight: { readonly size: number };
  readonly received: { readonly size: number } | null;
  readonly will: { readonly message: Message } | null;
}

/**
 * Approximate bytes of subscriptions in this thread and at its peers. Each peer keeps a copy of the filters.
 * @param length characters of their keys together, see subscriptionKey()
 * @param peers of this thread
 */
export function bytesOfFilters(count: number, length: number, peers: number): number {
  return count * SUBSCRIPTION_BYTES + length * FILTER_COPIES * (1 + peers);
}

/** @param peers of this thread */
export function bytesOfSession(
  { key, gate, filterLength, subscriptions, queue, inflight, received, will }: Footprint,
  peers: number,
): number {
  // Until a session has arrived, its old place counts its filters.
  const filterBytes = gate?.isArriving ? 0 : bytesOfFilters(subscriptions.size, filterLength, peers);
  const deliveries = (queue.length + inflight.size) * DELIVERY_BYTES;
  const identifiers = received === null ? 0 : received.size * RECEIVED_BYTES;
  return SESSION_BYTES + key.length * KEYS + filterBytes + deliveries + identifiers + (will === null ? 0 : will.message.size);
}

/** @param peers of this thread */
export function bytesOfSessions(sessions: Iterable<Footprint>, peers: number): number {
  let bytes = 0;
  for (const session of sessions) bytes += bytesOfSession(session, peers);
  return bytes;
}

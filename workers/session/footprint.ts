/** What sessions take of the memory budget (thread/memory-budget.ts), beside the messages themselves, which several sessions may share. */

import type { Message } from '../routing/message.ts';

/** What a session, a message of it, a received identifier and a subscription take beside their texts and payloads, about. */
const SESSION_BYTES = 1000;
export const DELIVERY_BYTES = 200;
const RECEIVED_BYTES = 50;
const SUBSCRIPTION_BYTES = 400;
/** A session's key stands here, in the table and with the session worker. */
const KEYS = 3;

/** What of a session can grow. */
interface Footprint {
  readonly key: string;
  readonly filterBytes: number;
  readonly queue: { readonly length: number };
  readonly inflight: { readonly size: number };
  readonly received: { readonly size: number } | null;
  readonly will: { readonly message: Message } | null;
}

/** What a subscription takes in this thread and at its peers, about. @param key of subscriptionKey() */
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

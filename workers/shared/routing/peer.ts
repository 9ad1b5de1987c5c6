/** The contract of a peer: another worker of this node that takes batches of publishes. */

import type { Message } from '../messages/message.ts';
import type { Run } from '../messages/run.ts';

/** Flags: what a peer's interest in a filter covers. */
export const INTEREST = {
  /** QoS 0 messages too: the peer has connected subscribers */
  live: 1,
  /** QoS 1 and 2 messages */
  queued: 2,
  /** a QoS 1/2 message is acknowledged only after `stored` of the peer */
  durable: 4,
} as const;

/** One message for a peer, and what the peer does with it. */
export interface PeerPublish {
  message: Message;
  /** deliver to the peer's ordinary subscribers */
  toSubscribers: boolean;
  /** shared groups that the peer serves with this message: filter + NUL + group name */
  groups: readonly string[] | null;
  /** the peer reports when the message is stored */
  store: boolean;
}

export interface Peer {
  readonly id: number;
  /** True while the whole interest of the peer is known and the peer has not ended. Otherwise nothing is routed to it. */
  readonly isKnown: boolean;
  /** Too many bytes wait at the peer: QoS 0 is dropped and counted, QoS 1/2 publishers are paused. */
  readonly isOverloaded: boolean;
  publish(namespace: string, record: PeerPublish): void;
  publishRun(namespace: string, run: Run): void;
}

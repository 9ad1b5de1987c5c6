/** The contract of a peer: another worker of this node (later: the relay of all other nodes) that takes batches of publishes. */

import type { Message } from './message.ts';
import type { Run } from './subscriber.ts';

/** What a peer's interest in a filter is for; flags. */
export const INTEREST = {
  /** QoS 0 messages too: it has connected subscribers */
  live: 1,
  /** QoS 1 and 2 messages */
  queued: 2,
  /** its `stored` must be awaited before a QoS 1/2 message is acknowledged */
  durable: 4,
} as const;

/** How one record is meant at the peer. */
export interface PeerPublish {
  message: Message;
  /** deliver to the peer's ordinary subscribers */
  toSubscribers: boolean;
  /** shared groups that were chosen to be served at the peer: filter + NUL + group name */
  groups: readonly string[] | null;
  /** the peer reports when it has stored the message */
  store: boolean;
}

export interface Peer {
  readonly id: number;
  /** Over its limit of bytes that are not worked off: QoS 0 is dropped and counted, QoS 1/2 publishers are paused. */
  readonly isOverloaded: boolean;
  publish(namespace: string, record: PeerPublish): void;
  publishRun(namespace: string, run: Run): void;
}

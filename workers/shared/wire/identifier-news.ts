/** Controls between the session workers of different nodes, about client identifiers. The relays carry them in order. */

import type { WillNews } from './will-news.ts';

/**
 * A node's answer about an identifier: nothing, an offline session, a session of another user, the session of a later claim, or no answer in
 * time.
 */
export type Finding = 'none' | 'held' | 'foreign' | 'later' | 'busy';

/** A claim of another node. `stamp` and the name of the node are its place in the order of all claims. */
export interface Ask {
  stamp: number;
  namespace: string;
  clientId: string;
  /** as in Claim */
  user: string | null;
  /** the session ends, whoever owns it */
  cleanStart: boolean;
  /** a node takes the session of an offline client of a node that stops: a connected client stays */
  isAdoption?: boolean;
}

/** A session that a node holds since the claim with this stamp. */
export interface Held {
  namespace: string;
  clientId: string;
  stamp: number;
}

export type IdentifierNews =
  | ({ t: 'ask' } & Ask)
  /** no client of the sender has the identifier, unless `later`. @param latest a stamp that it has seen @param since stamp of its session */
  | { t: 'answer'; stamp: number; how: Finding; latest: number; since: number }
  /** claims granted without the receiver. `upTo`: these are all claims up to this stamp, and the receiver answers `met`; 0: no answer */
  | { t: 'meet'; held: Held[]; upTo: number }
  | { t: 'met'; upTo: number }
  /** the sender stops, and has this session of an offline client; `adopted` follows */
  | { t: 'adopt'; namespace: string; clientId: string }
  | { t: 'adopted'; namespace: string; clientId: string; isTaken: boolean }
  | SessionNews
  | WillNews;

/** A session on its way from a node that holds it to the node of a claim. `move` is the stamp of the claim. */
export type SessionNews =
  /** to the holder */
  | { t: 'take'; move: number; namespace: string; clientId: string }
  /** every node knows the filters at the new place, and everything sent before is at the old place: the state may follow */
  | { t: 'installed'; move: number }
  /** asks for the next part */
  | { t: 'lent-next'; move: number }
  /** the new place has the session, on disk if it is durable */
  | { t: 'taken'; move: number; namespace: string; clientId: string }
  /** to the new place: a LentHead in text, or null when the session is gone */
  | { t: 'lent'; move: number; body: string | null }
  /** some deliveries, in text; `head`: the last ones, with the rest of the state (a LentHead) */
  | { t: 'lent-part'; move: number; count: number; bytes: string; head: string | null };

/** Between a session worker and the relay of its node. */
export type NodeNews =
  | { t: 'to-nodes'; nodes: readonly string[]; news: IdentifierNews }
  | { t: 'from-node'; node: string; news: IdentifierNews }
  /** the node is linked, or linked anew: controls sent before may be lost. @param incarnation of the process of this node */
  | { t: 'node-up'; node: string; incarnation: number }
  /** asks the relay to answer when the node `to` has taken everything that any node has routed so far */
  | { t: 'flush'; request: number; to: string }
  | { t: 'flushed'; request: number }
  /** claims no longer wait for the node; `isCutOff`: this node has no connection to NATS, and cannot know about the other one */
  | { t: 'node-down'; node: string; isCutOff: boolean };

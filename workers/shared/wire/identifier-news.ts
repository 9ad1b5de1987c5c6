/** What the session workers of different nodes tell one another about client identifiers. The relays carry it, in order. */

/**
 * What a node has of an identifier: nothing, an offline session, a session of another user, the session of a later claim, or no answer in
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
  /** the session ends, whosever it is */
  cleanStart: boolean;
}

/** A session that a node holds since the claim with this stamp. */
export interface Held {
  namespace: string;
  clientId: string;
  stamp: number;
}

export type IdentifierNews =
  | ({ t: 'ask' } & Ask)
  /** nobody is connected with the identifier at the sender, unless `later`. @param latest a stamp that the sender has seen */
  | { t: 'answer'; stamp: number; how: Finding; latest: number }
  /** claims that were granted without the receiver; `upTo`: it has been named all up to this stamp, and answers `met`; 0: no answer */
  | { t: 'meet'; held: Held[]; upTo: number }
  | { t: 'met'; upTo: number };

/** Between a session worker and the relay of its node. */
export type NodeNews =
  | { t: 'to-nodes'; nodes: readonly string[]; news: IdentifierNews }
  | { t: 'from-node'; node: string; news: IdentifierNews }
  /** the node is linked, or linked anew: what it was sent before may be lost */
  | { t: 'node-up'; node: string }
  /** nobody waits for the node any longer */
  | { t: 'node-down'; node: string };

/** The contract between a mesh and its worker. */

import type { Namespace } from '../routing/namespace.ts';
import type { Control, InterestNews, MoveNews } from '../wire/controls.ts';
import type { BatchForm } from '../wire/records.ts';
import type { PeerLink, RecordSinkOfPeer } from './peer-link.ts';
import type { InterestPiece } from './snapshot.ts';

/** The rest of the worker, as the mesh calls it. */
export interface MeshHooks extends RecordSinkOfPeer {
  /** Takes every control that is not about interest. */
  onControl(link: PeerLink, control: Control): void;
  onPeerAdded(link: PeerLink): void;
  /** A new peer has been sent the whole interest of this worker. */
  onPeerInformed(link: PeerLink): void;
  /** Moves of sessions to this worker. A peer that joins sends a cut to the old place of each. */
  movesUnderWay(): MoveNews[];
  /** The interest of a new peer is known; a session worker also knows the interest of this worker. */
  onPeerKnown(link: PeerLink): void;
  onPeerRemoved(link: PeerLink): void;
  /** `target` has announced the filters of a session that this worker holds: from now on its messages go to `target`. */
  onMoveAnnounced(move: number, target: PeerLink): void;
  /** A peer has acknowledged the filters of a move: from now on its messages for the session come here. */
  onMoveAcknowledged(move: number, peer: PeerLink): void;
  /** All overloaded peers have caught up. */
  onRelieved(): void;
  /** The relay is linked; `away`: the relay has ended and main replaces it; `missed`: this worker works without the other nodes. */
  onRelay?(state: PeerLink | 'away' | 'missed'): void;
  /** Resolves when the other nodes know the news of a peer, which waits for that; null: they know already. Only the relay has this hook. */
  whenSpread?(news: readonly InterestNews[]): Promise<void> | null;
  /** A message of another node has come a second time, and its sender waits until the message is stored. */
  onRepeat?(link: PeerLink, source: number, serial: number): void;
  /** A peer that has left no longer wants this filter. */
  onForgotten?(namespace: Namespace, filter: string): void;
}

/** Differences from the mesh of an endpoint worker on a single node. */
export interface MeshForm {
  /** flags of the interest that this worker announces for a filter with local subscribers */
  interestFlags?: (namespace: Namespace, filter: string) => number;
  /** the node has a relay, sooner or later */
  hasRelay?: boolean;
  /** form of the batches that this worker sends to its peers */
  batches?: BatchForm;
  /** the interest that a new peer gets; absent: the interest of local subscribers */
  pieces?: () => Iterable<InterestPiece>;
}

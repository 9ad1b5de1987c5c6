/** What a mesh needs from its worker. */

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
  /** Sessions on their way to this worker: a peer that joins must tell their old places that it knows. */
  movesUnderWay(): MoveNews[];
  /** The interest of a new peer is known; a session worker also knows that of this worker. */
  onPeerKnown(link: PeerLink): void;
  onPeerRemoved(link: PeerLink): void;
  /** `target` has announced the filters of a session that this worker holds: from now on its messages go to `target`. */
  onMoveAnnounced(move: number, target: PeerLink): void;
  /** A peer has acknowledged the filters of a move: from now on its messages for the session come here. */
  onMoveAcknowledged(move: number, peer: PeerLink): void;
  /** All overloaded peers have caught up. */
  onRelieved(): void;
  /** The relay is linked; `away`: it has ended and is being replaced; `missed`: this worker works without the other nodes. */
  onRelay?(state: PeerLink | 'away' | 'missed'): void;
  /** Resolves when others whom this worker speaks for know the news too; null: at once. The peer that announced them waits for it. */
  whenSpread?(news: readonly InterestNews[]): Promise<void> | null;
  /** A message of another node that has come before comes again, and its sender waits until it is stored. */
  onRepeat?(link: PeerLink, source: number, serial: number): void;
  /** A peer that has left no longer wants this filter. */
  onForgotten?(namespace: Namespace, filter: string): void;
}

/** How the mesh of a worker differs from that of an endpoint worker on a node of its own. */
export interface MeshForm {
  /** flags of the interest that this worker announces for a filter with local subscribers */
  interestFlags?: (namespace: Namespace, filter: string) => number;
  /** the node has a relay, sooner or later */
  hasRelay?: boolean;
  /** of what this worker sends to its peers */
  batches?: BatchForm;
  /** the interest that a new peer gets; absent: that of local subscribers */
  pieces?: () => Iterable<InterestPiece>;
}

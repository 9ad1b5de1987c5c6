/** The contracts of the registry with its worker, and with the other nodes of a cluster. */

import type { PeerLink } from '../../shared/mesh/peer-link.ts';
import type { Session } from '../../shared/session/session.ts';
import type { Claim } from '../../shared/wire/controls.ts';

export interface RegistryHooks {
  /** Called when a step is given up. */
  onStuck(namespace: string, clientId: string): void;
  /** Restores a durable session from disk into this worker's table after its holder died. Returns false when there is none. */
  restore(namespace: string, clientId: string): boolean;
  /** Called when the session of an offline client has arrived in this worker. */
  onFetched(session: Session): void;
  /** absent: the node is alone, and claims are decided here at once */
  cluster?: ClusterOfClaims;
}

/** The other nodes, which must agree to a claim before this node decides. */
export interface ClusterOfClaims {
  /** Asks the other nodes about a claim; decide() follows when they agree. */
  claim(claim: Claim, claimant: PeerLink): void;
  /** A claim is granted, refused or void. */
  decided(claim: Claim): void;
  /** The sessions of all workers are known. */
  complete(): void;
}

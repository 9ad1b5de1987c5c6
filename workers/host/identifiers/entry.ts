/** The session worker's knowledge of one client identifier, with the step under way. */

import type { PeerLink } from '../../shared/mesh/peer-link.ts';
import type { Claim } from '../../shared/wire/controls.ts';

/** The step under way for one identifier; there is one at most. */
export type Step =
  | {
      kind: 'claim';
      claim: Claim;
      claimant: PeerLink;
      move: number;
      stage: 'release' | 'move';
      /** its span begins here, by steadyNow() */
      since: number;
      /** endpoint and expiry before the claim, restored when the claim is refused */
      before: Pick<IdentifierEntry, 'endpoint' | 'expirySeconds'>;
    }
  | { kind: 'fetch'; move: number; isTaking: boolean; since: number };

export interface IdentifierEntry {
  readonly key: string;
  /** group of the identifier: see src/thread/identifier-table.ts */
  readonly group: number;
  readonly namespace: string;
  readonly clientId: string;
  /** the peer that holds the session; this worker's own id while the client is offline; null: no session yet */
  owner: number | null;
  connection: number;
  endpoint: string;
  expirySeconds: number;
  /** the client is offline, and the session waits at its owner */
  isGone: boolean;
  step: Step | null;
  readonly waiting: { claim: Claim; claimant: PeerLink }[];
}

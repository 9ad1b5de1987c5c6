/** What the session worker knows of one client identifier, and what is under way for it. */

import type { Claim } from '../mesh/controls.ts';
import type { PeerLink } from '../mesh/peer-link.ts';

/** What is under way for one identifier; there is at most one step at a time. */
export type Step =
  | {
      kind: 'claim';
      claim: Claim;
      claimant: PeerLink;
      move: number;
      stage: 'release' | 'move';
      since: number;
      /** what the entry said before: it does again when the claim is refused */
      before: Pick<Entry, 'endpoint' | 'expirySeconds'>;
    }
  | { kind: 'fetch'; move: number; isTaking: boolean; since: number };

export interface Entry {
  readonly key: string;
  /** of identifiers: see src/thread/identifier-table.ts */
  readonly group: number;
  readonly namespace: string;
  readonly clientId: string;
  /** peer that holds the session; this worker's own id while the client is away; null: no session yet */
  owner: number | null;
  connection: number;
  endpoint: string;
  expirySeconds: number;
  /** the client is away and the session waits at its owner */
  isGone: boolean;
  step: Step | null;
  readonly waiting: { claim: Claim; claimant: PeerLink }[];
}

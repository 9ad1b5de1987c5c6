/** The session worker's knowledge of one client identifier, with the step under way. */

import type { PeerLink } from '../../shared/mesh/peer-link.ts';
import type { Session } from '../../shared/session/session.ts';
import type { Claim, Claimant } from '../../shared/wire/controls.ts';
import type { Finding } from '../../shared/wire/identifier-news.ts';

/** A claim of an endpoint worker. */
export interface WaitingClaim {
  readonly claim: Claim;
  readonly claimant: PeerLink;
}

/** Another node wants the session: the client is closed, and the session comes to this worker, or ends. */
export interface Recall {
  /** the claimant, whose right is judged; null: the session is recalled from any owner */
  readonly by: Claimant | null;
  /** the session ends */
  readonly discard: boolean;
  /** false: the session has got a new client, and stays */
  isDue(entry: IdentifierEntry): boolean;
  answer(found: Finding): void;
}

/** The step under way for one identifier; an identifier has at most one. */
export type Step =
  | {
      kind: 'claim';
      claim: Claim;
      claimant: PeerLink;
      move: number;
      stage: 'release' | 'move';
      /** beginning of the step, by steadyNow() */
      since: number;
      /** endpoint and expiry before the claim, restored when the claim is refused */
      before: Pick<IdentifierEntry, 'endpoint' | 'expirySeconds'>;
    }
  /** the session is on its way to another node */
  | { kind: 'lend'; move: number }
  | { kind: 'fetch'; move: number; isTaking: boolean; since: number; recall: Recall | null };

export type ClaimStep = Extract<Step, { kind: 'claim' }>;
export type FetchStep = Extract<Step, { kind: 'fetch' }>;

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
  /** stamp of the granted claim, in a cluster */
  stamp: number;
  step: Step | null;
  readonly waiting: (WaitingClaim | Recall)[];
}

/** A session that another node takes. */
export interface LentEntry {
  readonly session: Session;
  /** To be called once. @param isTaken the other node has the session, which has been removed here */
  over(isTaken: boolean): void;
}

export function newEntry(key: string, group: number, namespace: string, clientId: string): IdentifierEntry {
  const nobody = { owner: null, connection: 0, endpoint: '', expirySeconds: 0, isGone: false, stamp: 0, step: null };
  return { key, group, namespace, clientId, ...nobody, waiting: [] };
}

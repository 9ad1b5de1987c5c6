/** Shapes of the notices between nodes of a cluster. */

import type { DrainRequest } from '../contract/request-parts.ts';

/** A node's description of itself, sent as its heartbeat. */
export interface NodeFacts {
  /** from the configuration; `incarnation` tells two nodes apart that share a name by mistake */
  readonly name: string;
  /** made anew at each start */
  readonly incarnation: string;
  readonly address: string;
  readonly adminPort: number;
  readonly version: string;
  /** milliseconds since the epoch */
  readonly upSince: number;
  /** newest revision that its listeners run, except those in `failed` */
  readonly revision: number;
  /** newest revision that it has read or written */
  readonly known: number;
  readonly status: 'ok' | 'degraded' | 'failed';
  readonly storeOk: boolean;
  /** ids of endpoints that do not run as the store says, at most the first thousand */
  readonly failed: readonly string[];
  /** version of its relay's protocol; 0: the node shares configuration only */
  readonly messages: number;
}

/** A node of the cluster as another node sees it. */
export interface ClusterMember extends NodeFacts {
  readonly isUp: boolean;
  readonly isSelf: boolean;
  /** true when another node that is up has the same name */
  readonly isTwin: boolean;
  /** milliseconds since the epoch */
  readonly lastSeen: number;
}

/** An announcement: the store has a new revision. */
export interface Announcement {
  readonly revision: number;
  /** the changed endpoints; empty: something else, such as a confirmation */
  readonly ids: readonly string[];
  /** how to disconnect clients of listeners that stop; the store does not keep that */
  readonly drain: DrainRequest;
  /** incarnation that asks for receipts */
  readonly incarnation: string;
  readonly request: string;
}

/** A receipt: how a node applied an announced revision. */
export interface Receipt {
  readonly request: string;
  readonly incarnation: string;
  readonly name: string;
  readonly state: 'applied' | 'pending' | 'failed';
  readonly reason: string | null;
}

/** What one node knows of the nodes of its cluster. */

import type { DrainRequest } from '../endpoints/drain.ts';

/** A node as it describes itself in its heartbeats. */
export interface NodeFacts {
  /** from the configuration; two nodes of one name are a mistake, and told apart by `incarnation` */
  readonly name: string;
  /** made anew at each start */
  readonly incarnation: string;
  readonly address: string;
  readonly adminPort: number;
  readonly version: string;
  /** milliseconds since the epoch */
  readonly upSince: number;
  /** newest revision that it has brought its listeners to, but for those in `failed` */
  readonly revision: number;
  /** newest revision that it has read or written */
  readonly known: number;
  readonly status: 'ok' | 'degraded' | 'failed';
  readonly storeOk: boolean;
  /** ids of endpoints that do not run as the store wants, the first thousand of them */
  readonly failed: readonly string[];
}

/** A node of the cluster as another one sees it. */
export interface Member extends NodeFacts {
  readonly isUp: boolean;
  readonly isSelf: boolean;
  /** another node that is up has the same name */
  readonly isTwin: boolean;
  /** milliseconds since the epoch */
  readonly lastSeen: number;
}

/** Says that the store has something new. */
export interface Announcement {
  readonly revision: number;
  /** the endpoints that the revision changed; none: it is something else, such as a confirmation */
  readonly ids: readonly string[];
  /** how clients of what stops are to be disconnected; the store does not say that */
  readonly drain: DrainRequest;
  /** who asks for receipts */
  readonly incarnation: string;
  readonly request: string;
}

/** What a node made of an announced revision. */
export interface Receipt {
  readonly request: string;
  readonly incarnation: string;
  readonly name: string;
  readonly state: 'applied' | 'pending' | 'failed';
  readonly reason: string | null;
}

/** What one node knows of the nodes of its cluster. */

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
  /** newest revision that it has brought its listeners to */
  readonly revision: number;
  readonly status: 'ok' | 'degraded' | 'failed';
  readonly storeOk: boolean;
  /** ids of endpoints that do not run as the store wants */
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

/** Says that a revision is in the store. `ids` are the endpoints that it changed. */
export interface Announcement {
  readonly revision: number;
  readonly ids: readonly string[];
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

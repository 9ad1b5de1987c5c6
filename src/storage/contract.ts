/** The store contract: where endpoint configuration and its history live. All implementations pass test/contract/store. */

import type { Endpoint } from '../endpoint/endpoint.ts';

/** One endpoint as stored, with the revision of its last change. */
export interface StoredEndpoint {
  endpoint: Endpoint;
  revision: number;
}

/** Everything at one moment. `revision` is the newest change of the whole store, 0 for an empty one. */
export interface StoreSnapshot {
  revision: number;
  endpoints: StoredEndpoint[];
}

/** One row change: put writes the whole endpoint, remove deletes by id. */
export type StoreChange = { kind: 'put'; endpoint: Endpoint } | { kind: 'remove'; id: string };

/** Who did it and why; goes into the history rows. */
export interface ChangeMeta {
  action: 'add' | 'update' | 'remove' | 'enable' | 'disable' | 'import' | 'rollback' | 'seed';
  actor: string;
  source: 'http' | 'nats' | 'file' | 'rollback' | 'import';
  node: string;
  requestId: string;
  reason: string | null;
}

/** One immutable history row; a commit of n changes writes n rows of one revision. */
export interface HistoryRow extends ChangeMeta {
  revision: number;
  /** milliseconds since the epoch */
  at: number;
  id: string;
  port: number;
  before: Endpoint | null;
  after: Endpoint | null;
}

export interface HistoryQuery {
  port?: number;
  id?: string;
  /** 1..1000 */
  limit: number;
  /** only rows with a smaller revision */
  before?: number;
}

export interface EndpointStore {
  /** The whole content. @throws FluxError `unavailable` */
  load(): Promise<StoreSnapshot>;
  /**
   * All changes or none, as one new revision, durable when it resolves.
   * `expected` maps an endpoint id to the revision that it must still have (0 = must not exist); ids not named are not compared.
   * Port and id uniqueness are checked again inside the transaction.
   * @returns the new revision (previous + 1)
   * @throws FluxError `revision-mismatch` (an expectation failed), `exists` (id or port taken), `not-found` (remove of nothing), `unavailable`
   */
  commit(changes: StoreChange[], expected: Record<string, number>, meta: ChangeMeta): Promise<number>;
  /** Newest first. @throws FluxError `unavailable` */
  history(query: HistoryQuery): Promise<HistoryRow[]>;
  /** Releases files and connections; further calls reject. Idempotent. */
  close(): Promise<void>;
}

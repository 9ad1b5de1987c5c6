/** The store contract: where endpoint configuration and its history live. All implementations pass test/contract/store. */

import type { Endpoint } from '../endpoint/endpoint.ts';

/** One endpoint as stored, with the revision of its last change. */
export interface StoredEndpoint {
  endpoint: Endpoint;
  revision: number;
}

/**
 * A change that is undone unless it is confirmed in time (`?confirmWithin=`). The store keeps it, so that the undo survives the process.
 */
export interface PendingConfirm {
  /** the unconfirmed revision */
  revision: number;
  /** milliseconds since the epoch */
  until: number;
}

/** The whole content at one moment. `revision` is the newest change of the whole store, 0 for an empty one. */
export interface StoreSnapshot {
  revision: number;
  endpoints: StoredEndpoint[];
  /** by revision */
  pending: PendingConfirm[];
  /**
   * present when the store is away: the reason, and the time (ISO 8601) of this last known content. Only a node's first load may return it
   */
  away?: { reason: string; savedAt: string };
}

/** Key of the whole configuration among the ids that a commit compares. No endpoint has this id. */
export const WHOLE = '*';

/** Effects of a commit beside its changes, in the same transaction. */
export interface CommitOptions {
  /** milliseconds since the epoch: the new revision waits for a confirmation until then (PendingConfirm) */
  confirmUntil?: number;
  /** the revision that this commit undoes: its PendingConfirm ends. When that revision does not wait (any longer), nothing is written */
  settles?: number;
}

/** One change: put writes the whole endpoint, remove deletes by id. */
export type StoreChange = { kind: 'put'; endpoint: Endpoint } | { kind: 'remove'; id: string };

/** The author and the reason of a change; part of its history rows. */
export interface ChangeMeta {
  action: 'add' | 'update' | 'remove' | 'enable' | 'disable' | 'import' | 'rollback' | 'restore' | 'seed';
  actor: string;
  source: 'http' | 'nats' | 'file' | 'rollback' | 'import' | 'node';
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
  /** exactly this actor */
  actor?: string;
  /** rows of this moment or later; milliseconds since the epoch */
  since?: number;
  /** rows before this moment; milliseconds since the epoch */
  until?: number;
  /** revisions at most, 1..1000 */
  limit: number;
  /** only rows with a smaller revision */
  before?: number;
}

/** A place between two history rows: right behind row `seq` of a revision. */
export interface RowPlace {
  revision: number;
  seq: number;
}

/** Rows in the order in which they were written. */
export interface RowPage {
  rows: HistoryRow[];
  /** behind the last row of the page; null when no rows follow */
  next: RowPlace | null;
  /** see Past.floor */
  floor: number;
}

/** A whole history, in the form that a backup holds. */
export interface Past {
  /** the newest revision */
  revision: number;
  /** up to this revision only the newest row of each endpoint is left; 0: no row was dropped */
  floor: number;
  /** Rows oldest first, in pieces of a bounded size; each call starts from the beginning. */
  pieces(): AsyncIterable<HistoryRow[]>;
}

/** Limits of the history. A row may be dropped when it is beyond all of them. */
export interface HistoryLimits {
  /** the newest rows, 0.. */
  keep: number;
  /** rows of this moment or later stay; milliseconds since the epoch */
  since: number;
  /** this revision and later ones stay, because a revision waits for a confirmation */
  waiting: number;
}

/** The disk space of a store, and the length of its history. */
export interface StoreSize {
  /** null: unknown */
  bytes: number | null;
  /** null: unknown */
  historyRows: number | null;
}

export interface EndpointStore {
  /** The whole content. @throws FluxError `unavailable` */
  load(): Promise<StoreSnapshot>;
  /**
   * Writes all changes or none, as one new revision, which is durable when the promise resolves.
   * `expected` maps an endpoint id to the revision that the endpoint must still have (0 = must not exist), and WHOLE to the newest revision
   * of the whole store. Ids without an entry are not compared. The transaction checks the uniqueness of ports and ids again. When the
   * connection breaks during the commit, the store looks up the outcome.
   * @returns the new revision (previous + 1)
   * @throws FluxError `revision-mismatch` (an expectation failed), `exists` (id or port taken), `not-found` (removal of an unknown id, or
   *   `settles` does not wait), `unavailable` (within 2 s, later for a large commit or an outcome that has to be looked up; nothing was
   *   written or, with `data.outcome` 'unknown', the change may have been)
   */
  commit(changes: StoreChange[], expected: Record<string, number>, meta: ChangeMeta, options?: CommitOptions): Promise<number>;
  /**
   * Newest first: at most `limit` revisions, each whole, and fewer when they have very many rows (HISTORY_ROWS_MAX). A page with fewer
   * revisions than `limit` is therefore not always the last one. @throws FluxError `unavailable`
   */
  history(query: HistoryQuery): Promise<HistoryRow[]>;
  /**
   * The endpoints right after `revision` (0: none), each with the revision of its last change up to there; `pending` is empty.
   * @throws FluxError `not-found` when the store has no such revision, or when its history does not reach back to it; `unavailable`
   */
  at(revision: number): Promise<StoreSnapshot>;
  /**
   * Ends the PendingConfirm of the revision: the change stays.
   * @throws FluxError `not-found` when the revision does not wait, `unavailable`
   */
  confirm(revision: number): Promise<void>;
  /** The next rows of the history behind a place, at most `limit`. A page may end inside a revision. @throws FluxError `unavailable` */
  rows(after: RowPlace, limit: number): Promise<RowPage>;
  /**
   * Fills an empty store (revision 0) with the history of a backup: its rows with their revisions, and the endpoints that they lead to.
   * @returns the newest revision
   * @throws FluxError `exists` when the store is not empty, `invalid` when the rows contradict one another, `unavailable`
   */
  adopt(past: Past): Promise<number>;
  /**
   * Drops some of the rows that are beyond the limits, never the newest row of an endpoint that exists. In a cluster one node at a time
   * drops rows. @returns whether more rows may be left to drop @throws FluxError `unavailable`
   */
  compact(limits: HistoryLimits): Promise<boolean>;
  /** @throws FluxError `unavailable` */
  size(): Promise<StoreSize>;
  /** Releases files and connections; further calls reject. Idempotent. */
  close(): Promise<void>;
}
